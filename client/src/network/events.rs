//! Server-sent events, read one by one with a bound on their size and on the silence between them.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::http::{Endpoint, HttpError, MAX_ANSWER_BYTES};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its name; empty if it has none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    url: String,
    body: Incoming,
    silence: Duration,
    pieces: Pieces,
}

/// Bytes that were received, and the event that they are part of.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// How many of them hold no end of a line.
    searched: usize,
    event: ServerEvent,
}

impl Endpoint {
    /// Opens a stream of events that is broken off after so long a silence: heartbeats count.
    ///
    /// # Errors
    ///
    /// If nobody answers, or with another status than 200.
    pub async fn events(&self, path: &str, silence: Duration) -> Result<Events, HttpError> {
        let body = self.stream(path).await?;
        Ok(Events { url: self.url().to_owned(), body, silence, pieces: Pieces::default() })
    }
}

impl Events {
    /// The next event; none if the stream ended.
    ///
    /// # Errors
    ///
    /// If the connection broke or was silent, or if an event has more than [`MAX_ANSWER_BYTES`].
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, HttpError> {
        loop {
            if let Some(event) = self.pieces.event() {
                return Ok(Some(event));
            }
            if self.pieces.length() > MAX_ANSWER_BYTES {
                let why = format!("an event of more than {MAX_ANSWER_BYTES} bytes");
                return Err(HttpError::Malformed { url: self.url.clone(), why });
            }
            match self.bytes().await? {
                Some(bytes) => self.pieces.bytes.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }

    async fn bytes(&mut self) -> Result<Option<Bytes>, HttpError> {
        let broken = |why: String| HttpError::Unreachable { url: self.url.clone(), why };
        loop {
            let frame = tokio::time::timeout(self.silence, self.body.frame()).await;
            let silent = |_| broken(format!("the stream was silent for {:?}", self.silence));
            match frame.map_err(silent)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl Pieces {
    fn length(&self) -> usize {
        self.bytes.len() + self.event.data.len()
    }

    /// The next whole event among the bytes. Comments, which heartbeats are, are none.
    fn event(&mut self) -> Option<ServerEvent> {
        loop {
            let found = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(found) = found else {
                self.searched = self.bytes.len();
                return None;
            };
            let end = self.searched + found;
            let line: Vec<u8> = self.bytes.drain(..=end).take(end).collect();
            self.searched = 0;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if event != ServerEvent::default() {
                    return Some(event);
                }
                continue;
            }
            self.take(line);
        }
    }

    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Vec<ServerEvent> {
        let (mut state, mut events) = (Pieces::default(), Vec::new());
        for piece in pieces {
            state.bytes.extend_from_slice(piece.as_bytes());
            while let Some(event) = state.event() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_are_read_whole_however_they_are_cut() {
        let text = ":\n\nid: 7\ndata: {\"a\":1}\n\n: still here\n\nevent: end\r\ndata: x\r\ndata: y\r\n\r\nid: 8\n";
        let event = |id: Option<&str>, name: &str, data: &str| ServerEvent {
            id: id.map(str::to_owned),
            name: name.into(),
            data: data.into(),
        };
        let expected = vec![event(Some("7"), "", "{\"a\":1}"), event(None, "end", "x\ny")];
        assert_eq!(read(&[text]), expected);
        let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(read(&bytes), expected);
        assert_eq!(read(&["data: not ended\n"]), []);
    }
}
