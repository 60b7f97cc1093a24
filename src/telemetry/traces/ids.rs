//! Which trace and span it is, and whether it is kept. Pure, apart from chance.

use opentelemetry::trace::{SpanId, TraceId};
use uuid::Uuid;

use crate::event::EventId;

/// A span: its trace, itself, and the span in which it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanIds {
    pub(super) trace: TraceId,
    pub(super) own: SpanId,
    pub(super) parent: SpanId,
}

impl SpanIds {
    /// The receipt of the event. Its trace is found by the event's id alone, however much later.
    pub(super) fn root(event: EventId) -> SpanIds {
        let own = root_span(event);
        SpanIds { trace: trace(event), own, parent: SpanId::INVALID }
    }

    /// Something that happens to the event later.
    pub(super) fn below_root(event: EventId) -> SpanIds {
        SpanIds { trace: trace(event), own: random_span(), parent: root_span(event) }
    }

    pub(super) fn within(trace: TraceId, parent: SpanId) -> SpanIds {
        SpanIds { trace, own: random_span(), parent }
    }

    /// What belongs to no event.
    pub(super) fn alone() -> SpanIds {
        let trace = TraceId::from_bytes(Uuid::new_v4().into_bytes());
        SpanIds { trace, own: random_span(), parent: SpanId::INVALID }
    }
}

fn trace(event: EventId) -> TraceId {
    TraceId::from_bytes(*event.as_bytes())
}

fn root_span(event: EventId) -> SpanId {
    let mut last = [0; 8];
    last.copy_from_slice(&event.as_bytes()[8..]);
    SpanId::from_bytes(last)
}

/// Zero is no span.
fn random_span() -> SpanId {
    SpanId::from_bytes(fastrand::u64(1..).to_be_bytes())
}

/// Which part of all traces is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingRatio(f64);

impl SamplingRatio {
    pub const ALL: SamplingRatio = SamplingRatio(1.0);

    /// None: it is not from 0 to 1.
    pub fn new(share: f64) -> Option<SamplingRatio> {
        (0.0..=1.0).contains(&share).then_some(SamplingRatio(share))
    }

    /// All spans of a trace agree, since its random bits decide: the highest of the last seven bytes, as
    /// others decide it who follow OpenTelemetry's rule.
    pub fn takes(self, trace: TraceId) -> bool {
        let [.., a, b, c, d, _, _, _] = trace.to_bytes();
        let chance = f64::from(u32::from_be_bytes([a, b, c, d])) / 2_f64.powi(32);
        chance >= 1.0 - self.0
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_trace_is_found_by_the_events_id() {
        let event: EventId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();

        let (root, later) = (SpanIds::root(event), SpanIds::below_root(event));

        assert_eq!(root.trace.to_string(), "01890a5dac96774bbcceb302099a8057");
        assert_eq!(root.own.to_string(), "bcceb302099a8057");
        assert_eq!(root.parent, SpanId::INVALID);
        assert_eq!((later.trace, later.parent), (root.trace, root.own));
        assert_ne!(later.own, root.own);
    }

    #[test]
    fn what_belongs_to_no_event_has_a_trace_of_its_own() {
        let (one, other) = (SpanIds::alone(), SpanIds::alone());

        assert_ne!(one.trace, other.trace);
        assert_eq!(one.parent, SpanId::INVALID);
    }

    #[test]
    fn the_random_bits_decide_what_is_kept() {
        let trace = |bits: u32| TraceId::from(0xffff_u128 << 64 | u128::from(bits) << 24);
        let check = |share, bits, is_kept| {
            assert_eq!(
                SamplingRatio::new(share).unwrap().takes(trace(bits)),
                is_kept,
                "{share} {bits}"
            );
        };

        check(1.0, 0, true);
        check(0.0, u32::MAX, false);
        check(0.25, 0xbfff_ffff, false);
        check(0.25, 0xc000_0000, true);
        check(0.5, 0x8000_0000, true);
    }

    #[test]
    fn a_part_of_the_events_is_kept() {
        let half = SamplingRatio::new(0.5).unwrap();

        let kept = (0..2000).filter(|_| half.takes(trace(EventId::new(Timestamp::UNIX_EPOCH))));

        // Beside these limits lies less than one run in a billion billions.
        assert!((800..1200).contains(&kept.count()));
    }

    #[test]
    fn a_part_is_from_0_to_1() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SamplingRatio::new(wrong), None, "{wrong}");
        }
    }
}
