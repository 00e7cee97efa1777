//! Logging: tracing events as lines on stderr.
//!
//! Promises: one event is one line, whatever its fields hold. Reads no environment: what to log is
//! an argument.

use std::io::{self, Write};

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::escape::escape_into;

#[cfg(test)]
mod tests;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error(
        "{filter:?} is no log filter: use a level such as info, or targets such as info,quotum_gateway=debug"
    )]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging was set up before")]
    SetUpBefore,
}

/// Makes writers that keep each event on one line.
struct OneLine<M>(M);

/// Writes one event.
struct OneLineWriter<W>(W);

/// Sends the events of the whole process that pass `filter` to stderr.
pub fn init(format: Format, filter: &str) -> Result<(), LoggingError> {
    let dispatch = dispatch(format, filter, io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LoggingError::SetUpBefore)
}

fn dispatch<M>(format: Format, filter: &str, output: M) -> Result<Dispatch, LoggingError>
where
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggingError::Filter {
            filter: filter.to_owned(),
            source,
        })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(OneLine(output));
    Ok(match format {
        Format::Json => Dispatch::new(lines.json().flatten_event(true).finish()),
        Format::Text => Dispatch::new(lines.finish()),
    })
}

// === impl OneLine ===

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = OneLineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        OneLineWriter(self.0.make_writer_for(meta))
    }
}

// === impl OneLineWriter ===

impl<W: Write> Write for OneLineWriter<W> {
    /// Takes one whole event, as the subscriber hands it over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = String::with_capacity(text.len());
        escape_into(&mut line, text.strip_suffix('\n').unwrap_or(&text));
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
