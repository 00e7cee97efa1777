//! A connection that writes together what becomes ready together.
//!
//! The answers of one round of consensus come at once, each from a task of its own, and each wakes
//! the connection: it would write them one by one, which costs more than deciding them. So while
//! several calls are open, what is flushed waits for one turn of the scheduler, in which the other
//! answers join it. A call that is alone waits for nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::GATHER_BYTES_MAX;

/// Gathers what is written until it is flushed, or is [`GATHER_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Gather<T> {
    inner: T,
    gathered: BytesMut,
    open: Open,
    /// Whether this flush has had its turn of the scheduler.
    has_waited: bool,
}

/// How many calls of a connection are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open(Arc<AtomicUsize>);

/// An open call.
#[derive(Debug)]
pub(crate) struct OpenCall(Open);

// === impl Open ===

impl Open {
    /// Counts a call until what is returned is dropped.
    pub(crate) fn call(&self) -> OpenCall {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    fn has_several(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

// === impl OpenCall ===

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Gather ===

impl<T> Gather<T> {
    pub(crate) fn new(inner: T, open: Open) -> Self {
        Self {
            inner,
            gathered: BytesMut::new(),
            open,
            has_waited: false,
        }
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Writes all that is gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHER_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        let mut room = GATHER_BYTES_MAX - self.gathered.len();
        let before = room;
        for buf in bufs {
            let fits = buf.len().min(room);
            self.gathered.extend_from_slice(&buf[..fits]);
            room -= fits;
        }
        Poll::Ready(Ok(before - room))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.has_waited && self.open.has_several() {
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        self.has_waited = false;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes at a time, and remembers each piece.
    #[derive(Debug, Default)]
    struct Pieces {
        at_a_time: usize,
        pieces: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = buf.len().min(self.at_a_time);
            self.pieces.push(buf[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gather(at_a_time: usize) -> (Gather<Pieces>, Open) {
        let open = Open::default();
        let pieces = Pieces {
            at_a_time,
            pieces: Vec::new(),
        };
        (Gather::new(pieces, open.clone()), open)
    }

    fn write(to: &mut Gather<Pieces>, bytes: &[u8]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(to).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(written)) => written,
            other => panic!("{other:?}"),
        }
    }

    fn flush(to: &mut Gather<Pieces>) -> Poll<()> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(to).poll_flush(&mut cx).map(|done| done.unwrap())
    }

    #[test]
    fn answers_of_several_calls_join_and_one_that_is_alone_does_not_wait() {
        let (mut to, open) = gather(usize::MAX);
        let first = open.call();
        write(&mut to, b"a");
        assert_eq!(flush(&mut to), Poll::Ready(()));
        let second = open.call();
        write(&mut to, b"b");
        assert_eq!(flush(&mut to), Poll::Pending);
        write(&mut to, b"c");
        assert_eq!(flush(&mut to), Poll::Ready(()));
        // The next flush has its own turn.
        write(&mut to, b"d");
        assert_eq!(flush(&mut to), Poll::Pending);
        drop((first, second));
        assert_eq!(flush(&mut to), Poll::Ready(()));
        assert_eq!(
            to.inner.pieces,
            [b"a".to_vec(), b"bc".to_vec(), b"d".to_vec()]
        );
    }

    #[test]
    fn what_is_gathered_has_a_bound_and_keeps_its_order() {
        let (mut to, _open) = gather(1_000);
        let bytes: Vec<u8> = (0..GATHER_BYTES_MAX + 10).map(|at| at as u8).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = write(&mut to, rest);
            assert!(written > 0 && to.gathered.len() <= GATHER_BYTES_MAX);
            rest = &rest[written..];
        }
        assert_eq!(flush(&mut to), Poll::Ready(()));
        assert!(to.inner.pieces.concat() == bytes);
    }

    #[test]
    fn a_connection_that_takes_nothing_more_is_an_error() {
        let (mut to, _open) = gather(0);
        write(&mut to, b"a");
        let mut cx = Context::from_waker(Waker::noop());
        let flushed = Pin::new(&mut to).poll_flush(&mut cx);
        assert!(
            matches!(flushed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero)
        );
    }
}
