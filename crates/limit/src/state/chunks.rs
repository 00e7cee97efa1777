//! Chunks: a list that grows without moving.
//!
//! Promises: past the first chunk, memory is asked for in pieces of one size, so that thousands of
//! lists that grow together leave no holes behind; at most one chunk is not full, but for what did
//! not fit.

#[cfg(test)]
mod tests;

/// A list in chunks of `N`. A place in it is a number that stays.
#[derive(Debug, Clone)]
pub(crate) struct Chunks<T, const N: usize> {
    /// None is empty.
    chunks: Vec<Vec<T>>,
}

impl<T, const N: usize> Default for Chunks<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

// === impl Chunks ===

impl<T: Copy, const N: usize> Chunks<T, N> {
    /// Where the next item would be, if it fits: as many places as are taken or left out.
    pub(crate) fn end(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * N + last
    }

    pub(crate) fn get(&self, at: usize) -> &T {
        &self.chunks[at / N][at % N]
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / N][at % N]
    }

    /// Items that were pushed together.
    pub(crate) fn slice(&self, at: usize, len: usize) -> &[T] {
        &self.chunks[at / N][at % N..][..len]
    }

    /// Adds items, at most `N`, one beside the other, and returns the place of the first.
    pub(crate) fn push(&mut self, items: &[T]) -> usize {
        let has_room = |chunk: &Vec<T>| chunk.len() + items.len() <= N;
        if !self.chunks.last().is_some_and(has_room) {
            let size = if self.chunks.is_empty() { 0 } else { N };
            self.chunks.reserve_exact(1);
            self.chunks.push(Vec::with_capacity(size));
        }
        let at = self.end();
        let chunk = self.chunks.last_mut().expect("there is one now");
        if chunk.capacity() - chunk.len() < items.len() {
            // By an eighth: what is full most of the time must not be half empty.
            let room = (items.len() + chunk.len() / 8).min(N - chunk.len());
            chunk.reserve_exact(room);
        }
        chunk.extend_from_slice(items);
        at
    }

    /// Removes the last item, of which there is one.
    pub(crate) fn pop(&mut self) -> T {
        let chunk = self.chunks.last_mut().expect("none is missing");
        let item = chunk.pop().expect("no chunk is empty");
        if chunk.is_empty() {
            self.chunks.pop();
        }
        item
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// Gives memory back that is not needed any more.
    pub(crate) fn shrink(&mut self) {
        if let [only] = &mut self.chunks[..]
            && only.capacity() > 2 * only.len() + 8
        {
            only.shrink_to_fit();
        }
        if self.chunks.capacity() > 2 * self.chunks.len() + 4 {
            self.chunks.shrink_to_fit();
        }
    }

    /// The memory that it uses.
    pub(crate) fn bytes(&self) -> usize {
        let items: usize = self.chunks.iter().map(Vec::capacity).sum();
        items * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}
