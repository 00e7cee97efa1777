//! Figures as a process shows them under `/metrics`.

use crate::ensure;
use crate::failure::Result;
use crate::http::Http;

#[cfg(test)]
mod tests;

/// One reading of a process's figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

// === impl Figures ===

impl Figures {
    pub async fn read(http: &Http, url: &str) -> Result<Self> {
        let reply = http.get(url).await?;
        ensure!(reply.status.is_success(), "{url} answered {}", reply.status);
        Ok(Self::parse(&reply.text()))
    }

    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            samples: lines.filter_map(Sample::parse).collect(),
        }
    }

    /// The sum over every sample of `name` that has all of `labels`; `None`: there is no such sample.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self
            .samples
            .iter()
            .filter(|sample| sample.is(name, labels))
            .peekable();
        found.peek()?;
        Some(found.map(|sample| sample.value).sum())
    }
}

// === impl Sample ===

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let labels = labels
            .split("\",")
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (key, value) = label.split_once("=\"")?;
                Some((
                    key.trim().to_owned(),
                    value.trim_end_matches('"').to_owned(),
                ))
            });
        Some(Self {
            name: name.to_owned(),
            labels: labels.collect::<Option<_>>()?,
            value: value.parse().ok()?,
        })
    }

    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(key, value): &(&str, &str)| {
            self.labels
                .iter()
                .any(|(own_key, own)| own_key == key && own == value)
        };
        self.name == name && labels.iter().all(has)
    }
}
