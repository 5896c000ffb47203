//! Memory: records that lie in memory, decoded on the calling thread.

use super::piece::{self, Job, Scratch};
use super::settle::{Front, Piece};
use super::text::{Text, closing};
use super::{Chunk, CsvPlan, ReadOptions, Start};
use crate::Result;
use crate::ledger::Ledger;
use crate::reject::OnReject;
use std::sync::Arc;

/// Decodes whole records of one plan; shared by threads.
pub struct Records {
    job: Job,
}

impl Records {
    /// For records of `plan`; whatever `options` say of rejects, all are collected.
    pub fn new(plan: Arc<CsvPlan>, name: Arc<str>, options: &ReadOptions) -> Records {
        let options = ReadOptions {
            on_reject: OnReject::Collect,
            max_rejects: u64::MAX,
            hold_tail: false,
            ..options.clone()
        };
        let job = Job {
            name,
            plan,
            options,
            zeros: Default::default(),
        };
        Records { job }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<CsvPlan> {
        &self.job.plan
    }

    /// Decodes `bytes`, which hold records and no header; rows count from 0.
    pub fn decode(&self, mut bytes: Vec<u8>) -> Result<Chunk> {
        let len = bytes.len();
        if let Some(end) = closing(&self.job.options, self.job.plan.cut.newline)
            && bytes.last().is_some_and(|b| *b != end)
        {
            bytes.push(end);
        }
        let text = Text::Memory {
            bytes,
            base: 0,
            len,
            last: true,
        };
        let mut scratch = Scratch::once();
        let decoded = piece::decode(&self.job, &text, 0, len as u64, &mut scratch);
        let start = Start {
            byte: 0,
            line: 1,
            row: 0,
        };
        let piece = Piece {
            text,
            from: 0,
            until: len as u64,
            decoded,
        };
        Front::new(start, Ledger::default(), None).settle(&self.job, piece, &mut scratch)
    }
}
