//! Calls of one message each way, answered by their path: gRPC without a router, buffers and boxes.
//!
//! A decision costs less than tonic's way to it: the few calls that are made for every decision go
//! here, all others to tonic. A client does not notice, and a message that tonic refuses is refused
//! here with the same code.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use prost::Message;
use tonic::Status;

#[cfg(test)]
mod tests;

/// The flag of compression and the length before each message.
const PREFIX_BYTES: usize = 5;

/// The calls of a port that are answered directly.
#[derive(Clone, Default)]
pub struct Calls(Vec<Arc<Call>>);

/// One call: its path, the longest message that it takes, and what answers it.
pub(crate) struct Call {
    path: &'static str,
    bytes_max: usize,
    answer: Box<AnswerFn>,
}

type AnswerFn = dyn Fn(Bytes) -> Answering + Send + Sync;
type Answering = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What of a body is there. Few messages come in more than one piece: one is not copied.
#[derive(Default)]
struct Read {
    piece: Bytes,
    joined: BytesMut,
}

/// A message with its prefix, then the status that says that all is well.
pub(crate) struct Answer {
    message: Option<Bytes>,
    has_ended: bool,
}

// === impl Calls ===

impl Calls {
    /// Answers the calls at `path`, `/package.Service/Method`, of messages of at most `bytes_max`.
    #[must_use]
    pub fn with<M, R, F>(
        mut self,
        path: &'static str,
        bytes_max: usize,
        answer: impl Fn(M) -> F + Send + Sync + 'static,
    ) -> Self
    where
        M: Message + Default,
        R: Message,
        F: Future<Output = Result<R, Status>> + Send + 'static,
    {
        let answer = move |message: Bytes| -> Answering {
            match M::decode(message) {
                Ok(message) => {
                    let answering = answer(message);
                    Box::pin(async move { prefixed(&answering.await?) })
                }
                Err(error) => {
                    let status = Status::internal(error.to_string());
                    Box::pin(std::future::ready(Err(status)))
                }
            }
        };
        self.0.push(Arc::new(Call {
            path,
            bytes_max,
            answer: Box::new(answer),
        }));
        self
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Call>> {
        self.0.iter().find(|call| call.path == path)
    }
}

/// An encoded message with its prefix.
fn prefixed(message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let prefix =
        u32::try_from(length).map_err(|_| Status::out_of_range("the answer is too long"))?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(prefix);
    message.encode_raw(&mut bytes);
    Ok(bytes.freeze())
}

// === impl Call ===

impl Call {
    /// Reads the message of a request, and answers it.
    pub(crate) async fn respond<B>(&self, request: Request<B>) -> Result<Response<Answer>, Status>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        if let Some(encoding) = head.headers.get("grpc-encoding")
            && encoding != "identity"
        {
            let text = format!("messages of the encoding {encoding:?} are not taken");
            return Err(Status::unimplemented(text));
        }
        let message = self.read(body).await?;
        let mut response = Response::new(Answer {
            message: Some((self.answer)(message).await?),
            has_ended: false,
        });
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        Ok(response)
    }

    /// The one message of a body, without its prefix.
    async fn read<B>(&self, mut body: B) -> Result<Bytes, Status>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut read = Read::default();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| Status::from_error(error.into()))?;
            let Ok(data) = frame.into_data() else {
                break;
            };
            read.add(data);
            self.check(read.bytes())?;
        }
        let mut read = read.into_bytes();
        if read.is_empty() {
            return Err(Status::internal("there is no message"));
        }
        if read.len() < PREFIX_BYTES || read.len() - PREFIX_BYTES != length(&read) {
            return Err(Status::internal("the message does not end where it says"));
        }
        read.advance(PREFIX_BYTES);
        Ok(read)
    }

    /// Whether what is there so far can be the message.
    fn check(&self, read: &[u8]) -> Result<(), Status> {
        if read.len() < PREFIX_BYTES {
            return Ok(());
        }
        if read[0] != 0 {
            return Err(Status::internal(
                "the message is said to be compressed, and the request names no encoding",
            ));
        }
        let length = length(read);
        if length > self.bytes_max {
            let most = self.bytes_max;
            return Err(Status::out_of_range(format!(
                "the message has {length} bytes, and at most {most} are taken"
            )));
        }
        if read.len() - PREFIX_BYTES > length {
            return Err(Status::internal("there is more than one message"));
        }
        Ok(())
    }
}

// === impl Read ===

impl Read {
    fn add(&mut self, data: Bytes) {
        match self.bytes().is_empty() {
            true => self.piece = data,
            false => {
                if self.joined.is_empty() {
                    self.joined.extend_from_slice(&self.piece);
                }
                self.joined.extend_from_slice(&data);
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self.joined.is_empty() {
            true => &self.piece,
            false => &self.joined,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self.joined.is_empty() {
            true => self.piece,
            false => self.joined.freeze(),
        }
    }
}

/// The length that a prefix gives, in bytes.
fn length(prefixed: &[u8]) -> usize {
    let length = [prefixed[1], prefixed[2], prefixed[3], prefixed[4]];
    u32::from_be_bytes(length) as usize
}

// === impl Answer ===

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.has_ended = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}
