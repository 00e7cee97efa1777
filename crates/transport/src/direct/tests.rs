//! What is answered, and how every kind of bad request is refused.

use std::collections::VecDeque;
use std::convert::Infallible;

use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;

const BYTES_MAX: usize = 64;
const PATH: &str = "/grpc.health.v1.Health/Check";

/// A body in the pieces that it comes in.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// Answers with the length of the name that is asked for, and refuses `bad`.
fn calls() -> Calls {
    Calls::default().with(PATH, BYTES_MAX, |request: HealthCheckRequest| async move {
        match request.service.as_str() {
            "bad" => Err(Status::not_found("no such service")),
            name => Ok(HealthCheckResponse {
                status: i32::try_from(name.len()).unwrap(),
            }),
        }
    })
}

fn message(service: &str) -> Vec<u8> {
    let service = service.to_owned();
    prefixed(&HealthCheckRequest { service }).unwrap().to_vec()
}

fn request(pieces: &[&[u8]]) -> Request<Pieces> {
    let data = |piece: &&[u8]| Frame::data(Bytes::copy_from_slice(piece));
    Request::new(Pieces(pieces.iter().map(data).collect()))
}

async fn respond(request: Request<Pieces>) -> Result<(i32, HeaderMap), Status> {
    let calls = calls();
    let response = calls.get(PATH).unwrap().respond(request).await?;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
    let mut answer = response.into_body();
    let mut frames = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await {
        assert!(!frames.is_empty() || !answer.is_end_stream());
        frames.push(frame.unwrap());
    }
    assert!(answer.is_end_stream());
    let [data, trailers] = frames.try_into().unwrap();
    let mut data = data.into_data().unwrap();
    assert_eq!((data[0], length(&data)), (0, data.len() - PREFIX_BYTES));
    data.advance(PREFIX_BYTES);
    let status = HealthCheckResponse::decode(data).unwrap().status;
    Ok((status, trailers.into_trailers().unwrap()))
}

async fn refusal(request: Request<Pieces>) -> Code {
    respond(request).await.unwrap_err().code()
}

#[tokio::test]
async fn a_message_is_answered_however_it_is_cut() {
    let message = message("twelve bytes");
    for at in 0..=message.len() {
        let (first, rest) = message.split_at(at);
        let (status, trailers) = respond(request(&[first, rest])).await.unwrap();
        assert_eq!(status, 12);
        assert_eq!(trailers["grpc-status"], "0");
    }
    let bytes: Vec<&[u8]> = message.chunks(1).collect();
    assert_eq!(respond(request(&bytes)).await.unwrap().0, 12);
    // What a client says after its message does not matter.
    let mut said = request(&[&message]);
    let trailers = Frame::trailers(HeaderMap::new());
    said.body_mut().0.push_back(trailers);
    assert_eq!(respond(said).await.unwrap().0, 12);
    assert!(calls().get("/grpc.health.v1.Health/Watch").is_none());
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let good = message("a");
    let cut = &good[..good.len() - 1];
    let two = [good.clone(), good.clone()].concat();
    let compressed = [&[1][..], &good[1..]].concat();
    let garbled = [&[0, 0, 0, 0, 2][..], &[0xff, 0xff]].concat();
    for bad in [&[][..], &[0, 0], cut, &two, &compressed, &garbled] {
        assert_eq!(refusal(request(&[bad])).await, Code::Internal, "{bad:?}");
    }
    assert_eq!(refusal(request(&[])).await, Code::Internal);
    assert_eq!(refusal(request(&[&good, &good])).await, Code::Internal);
    // Before the rest of it comes.
    let long = message(&"a".repeat(BYTES_MAX));
    assert_eq!(refusal(request(&[&long[..5]])).await, Code::OutOfRange);
    assert_eq!(
        respond(request(&[&message(&"a".repeat(BYTES_MAX - 2))]))
            .await
            .unwrap()
            .0,
        62
    );
    let mut zipped = request(&[&good]);
    let gzip = HeaderValue::from_static("gzip");
    zipped.headers_mut().insert("grpc-encoding", gzip);
    assert_eq!(refusal(zipped).await, Code::Unimplemented);
    let mut plain = request(&[&good]);
    let identity = HeaderValue::from_static("identity");
    plain.headers_mut().insert("grpc-encoding", identity);
    assert_eq!(respond(plain).await.unwrap().0, 1);
}

#[tokio::test]
async fn what_answers_may_refuse() {
    assert_eq!(refusal(request(&[&message("bad")])).await, Code::NotFound);
}
