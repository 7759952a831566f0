//! `--record FILE`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use examples::recording;
use failover_core::dial::Dial;
use failover_core::drive::{Clock, ConnectorBuilder, Recorder, Recording};

use crate::Problem;

/// Where a record goes, if one is made.
pub(crate) struct Record(Option<(PathBuf, File)>);

impl Record {
    /// Nothing is done whose record could not be written.
    pub(crate) fn create(path: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = File::create(path).map_err(|error| unwritten(path, &error))?;
        Ok(Self(Some((path.to_path_buf(), file))))
    }

    /// The connector records, if it shall.
    pub(crate) fn by<D: Dial + 'static, C: Clock>(
        &self,
        builder: ConnectorBuilder<D, C>,
    ) -> ConnectorBuilder<D, C> {
        match self.0 {
            Some(_) => builder.recorder(Recorder::default()),
            None => builder,
        }
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
