//! The log as its files show it.

use std::io::{self, Write};

use super::Show;
use crate::cli::documents::log::{Segments, Verified};
use crate::cli::table::Table;
use crate::text::log_end::{left_out, unproven};
use crate::text::{bytes, counted, moment};

impl Show for Segments {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(&[
            "SEGMENT",
            "STATE",
            "START",
            "FIRST LSN",
            "LAST LSN",
            "RECORDS",
            "FROM",
            "TO",
            "USED",
            "SIZE",
        ]);
        // A segment without records has neither numbers nor times.
        let some = |number: u64, text: fn(u64) -> String| match number {
            0 => "-".to_owned(),
            number => text(number),
        };
        let number = |number: u64| number.to_string();
        for segment in &self.segments {
            table.row([
                number(segment.segment),
                segment.state.word().into(),
                number(segment.incarnation),
                some(segment.first_lsn, number),
                some(segment.last_lsn, number),
                number(segment.records),
                some(segment.first_time, moment),
                some(segment.last_time, moment),
                bytes(segment.used_bytes),
                bytes(segment.bytes),
            ]);
        }
        table.write(out)?;
        match self.segments.iter().map(|segment| segment.torn_bytes).sum::<u64>() {
            0 => Ok(()),
            torn => writeln!(out, "The log ends with {}.", left_out(torn)),
        }
    }
}

impl Show for Verified {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let records = counted(self.records, "record");
        let segments = counted(self.segments, "segment");
        writeln!(
            out,
            "The log is whole: {records} up to #{} in {segments}, every checksum good.",
            self.last_lsn
        )?;
        match self.torn_bytes {
            0 if self.end_proven => Ok(()),
            0 => writeln!(out, "Nothing proves where it ends: {}.", unproven()),
            torn => writeln!(out, "It ends with {}.", left_out(torn)),
        }
    }
}
