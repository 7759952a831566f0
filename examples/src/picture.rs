//! What all pictures share.

use plotters::style::RGBColor;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the picture cannot be drawn: {0}")]
#[non_exhaustive]
pub struct Unplotted(String);

pub(crate) fn unplotted(error: impl std::fmt::Display) -> Unplotted {
    Unplotted(error.to_string())
}

/// The most curves that are told apart.
pub(crate) const CURVES: usize = 8;
/// Distinct also for those who see few colours (Okabe and Ito, 2008), light ones left out.
pub(crate) const COLOURS: [RGBColor; CURVES] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 0, 0),
];
