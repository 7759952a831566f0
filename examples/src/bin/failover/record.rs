//! `--record FILE`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use examples::recording;
use failover_core::dial::Dial;
use failover_core::drive::{Clock, ConnectorBuilder, Recorder, Recording};

use crate::Problem;

/// The connector records, if its record goes anywhere.
pub(crate) fn recorded<D: Dial + 'static, C: Clock>(
    builder: ConnectorBuilder<D, C>,
    to: Option<&Path>,
) -> ConnectorBuilder<D, C> {
    match to {
        Some(_) => builder.recorder(Recorder::default()),
        None => builder,
    }
}

/// Where a record goes, if one is made.
pub(crate) struct Record(Option<(PathBuf, File)>);

impl Record {
    /// Before anything is done: whether the record can be written is known then.
    pub(crate) fn create(path: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = File::create(path).map_err(|error| unwritten(path, &error))?;
        Ok(Self(Some((path.to_path_buf(), file))))
    }

    /// Writes it.
    pub(crate) fn write(self, recording: Option<&Recording>) -> Result<(), Problem> {
        let (Some((path, file)), Some(recording)) = (self.0, recording) else {
            return Ok(());
        };
        let mut file = BufWriter::new(file);
        recording::write(recording, &mut file)
            .and_then(|()| file.flush())
            .map_err(|error| unwritten(&path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Problem {
    Problem::Failed(format!("{}: {error}", path.display()))
}
