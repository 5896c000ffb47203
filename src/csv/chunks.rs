//! Chunks of a file in order, decoded on the pool.

use super::{Chunk, CsvPlan, ReadOptions, Start};
use crate::input::Opened;
use crate::{Error, Kind, Result};
use std::sync::Arc;

/// What is made of each chunk, on the pool.
pub type Map<T> = Arc<dyn Fn(Chunk) -> Result<T> + Send + Sync>;

/// The chunks of one input in file order, each mapped on the pool; a bounded number in flight.
pub struct Chunks<T> {
    map: Map<T>,
}

impl<T: Send + 'static> Chunks<T> {
    /// Begins to read `input` at `start`, a record start, or at the beginning of the file.
    pub fn open(
        input: Opened,
        plan: Arc<CsvPlan>,
        options: &ReadOptions,
        start: Option<Start>,
        map: Map<T>,
    ) -> Result<Chunks<T>> {
        let _ = (input, plan, options, start);
        Ok(Chunks { map })
    }

    /// The next chunk's value, waiting for it; `None` at the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<T>> {
        let _ = &self.map;
        Err(Error::new(Kind::Internal, "not built yet"))
    }
}
