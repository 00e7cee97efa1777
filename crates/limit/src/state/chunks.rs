//! Chunks: a list that grows without moving.
//!
//! Promises: what moves when a list grows is one chunk at most, so that thousands of lists that grow
//! together leave only small holes behind, which others fill; an eighth of a chunk is unused at
//! most, but for what did not fit at the end of others.

#[cfg(test)]
mod tests;

/// A list in chunks of `N`. A place in it is a number that stays.
#[derive(Debug, Clone)]
pub(crate) struct Chunks<T, const N: usize> {
    /// Most lists are short: this one is no pointer further away than a list that moves.
    first: Vec<T>,
    /// None is empty.
    more: Vec<Vec<T>>,
}

impl<T, const N: usize> Default for Chunks<T, N> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            more: Vec::new(),
        }
    }
}

// === impl Chunks ===

impl<T: Copy, const N: usize> Chunks<T, N> {
    /// Where the next item would be, if it fits: as many places as are taken or left out.
    pub(crate) fn end(&self) -> usize {
        match self.more.last() {
            None => self.first.len(),
            Some(last) => self.more.len() * N + last.len(),
        }
    }

    pub(crate) fn get(&self, at: usize) -> &T {
        &self.chunk(at)[at % N]
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        match at < N {
            true => &mut self.first[at],
            false => &mut self.more[at / N - 1][at % N],
        }
    }

    /// Items that were pushed together.
    pub(crate) fn slice(&self, at: usize, len: usize) -> &[T] {
        &self.chunk(at)[at % N..][..len]
    }

    fn chunk(&self, at: usize) -> &Vec<T> {
        match at < N {
            true => &self.first,
            false => &self.more[at / N - 1],
        }
    }

    /// Adds items, at most `N`, one beside the other, and returns the place of the first.
    pub(crate) fn push(&mut self, items: &[T]) -> usize {
        let last = self.more.last().unwrap_or(&self.first);
        if last.len() + items.len() > N {
            self.more.reserve_exact(1);
            self.more.push(Vec::new());
        }
        let at = self.end();
        let is_first = self.more.is_empty();
        let chunk = self.more.last_mut().unwrap_or(&mut self.first);
        if chunk.capacity() - chunk.len() < items.len() {
            // By an eighth: what is full most of the time must not be half empty.
            let eighth = if is_first { chunk.len() / 8 } else { N / 8 };
            let room = (items.len() + eighth).min(N - chunk.len());
            chunk.reserve_exact(room);
        }
        chunk.extend_from_slice(items);
        at
    }

    /// Removes the last item, of which there is one.
    pub(crate) fn pop(&mut self) -> T {
        let chunk = self.more.last_mut().unwrap_or(&mut self.first);
        let item = chunk.pop().expect("there is an item");
        if chunk.is_empty() {
            self.more.pop();
        }
        item
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.more.iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let more = self.more.iter_mut().flatten();
        self.first.iter_mut().chain(more)
    }

    /// Gives memory back that is not needed any more.
    pub(crate) fn shrink(&mut self) {
        if self.first.capacity() > 2 * self.first.len() + 8 {
            self.first.shrink_to_fit();
        }
        if self.more.capacity() > 2 * self.more.len() + 4 {
            self.more.shrink_to_fit();
        }
    }

    /// The memory that it uses, beside itself.
    pub(crate) fn bytes(&self) -> usize {
        let more: usize = self.more.iter().map(Vec::capacity).sum();
        (self.first.capacity() + more) * size_of::<T>() + self.more.capacity() * size_of::<Vec<T>>()
    }
}
