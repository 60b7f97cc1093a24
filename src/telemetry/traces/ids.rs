//! Ids of traces and spans, and sampling. Pure, apart from random ids.

use opentelemetry::trace::{SpanId, TraceId};
use uuid::Uuid;

use crate::event::EventId;

/// Ids of a span: its trace, itself, and its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanIds {
    pub(super) trace: TraceId,
    pub(super) own: SpanId,
    pub(super) parent: SpanId,
}

impl SpanIds {
    /// Returns the ids for the receipt of an event.
    pub(super) fn root(event: EventId) -> SpanIds {
        // Derived from the event's id, so that a delivery days later joins the trace and nothing
        // has to be stored for it.
        let own = root_span(event);
        SpanIds { trace: trace(event), own, parent: SpanId::INVALID }
    }

    /// Returns the ids for a later step of the event.
    pub(super) fn below_root(event: EventId) -> SpanIds {
        SpanIds { trace: trace(event), own: random_span(), parent: root_span(event) }
    }

    pub(super) fn within(trace: TraceId, parent: SpanId) -> SpanIds {
        SpanIds { trace, own: random_span(), parent }
    }

    /// Returns the ids for a span that belongs to no event.
    pub(super) fn alone() -> SpanIds {
        let trace = TraceId::from_bytes(Uuid::new_v4().into_bytes());
        SpanIds { trace, own: random_span(), parent: SpanId::INVALID }
    }
}

fn trace(event: EventId) -> TraceId {
    TraceId::from_bytes(*event.as_bytes())
}

fn root_span(event: EventId) -> SpanId {
    // The second half of a UUID v7 is random; the first is the time, which events share.
    let mut last = [0; 8];
    last.copy_from_slice(&event.as_bytes()[8..]);
    SpanId::from_bytes(last)
}

fn random_span() -> SpanId {
    // Zero is an invalid span id (W3C Trace Context).
    SpanId::from_bytes(fastrand::u64(1..).to_be_bytes())
}

/// Share of the traces that is exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingRatio(f64);

impl SamplingRatio {
    pub const ALL: SamplingRatio = SamplingRatio(1.0);

    /// Returns none if the share is not from 0 to 1.
    pub fn new(share: f64) -> Option<SamplingRatio> {
        (0.0..=1.0).contains(&share).then_some(SamplingRatio(share))
    }

    /// Returns whether the trace is exported. The same for all spans of a trace.
    pub fn takes(self, trace: TraceId) -> bool {
        // OpenTelemetry's rule for the last seven bytes of the id, so that other services decide
        // alike. The highest 32 of the 56 bits are exact enough.
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
    fn trace_id_is_the_event_id() {
        let event: EventId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();

        let (root, later) = (SpanIds::root(event), SpanIds::below_root(event));

        assert_eq!(root.trace.to_string(), "01890a5dac96774bbcceb302099a8057");
        assert_eq!(root.own.to_string(), "bcceb302099a8057");
        assert_eq!(root.parent, SpanId::INVALID);
        assert_eq!((later.trace, later.parent), (root.trace, root.own));
        assert_ne!(later.own, root.own);
    }

    #[test]
    fn span_without_an_event_has_its_own_trace() {
        let (one, other) = (SpanIds::alone(), SpanIds::alone());

        assert_ne!(one.trace, other.trace);
        assert_eq!(one.parent, SpanId::INVALID);
    }

    #[test]
    fn random_bits_decide_the_sampling() {
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
    fn half_of_the_events_are_sampled() {
        let half = SamplingRatio::new(0.5).unwrap();

        let kept = (0..2000).filter(|_| half.takes(trace(EventId::new(Timestamp::UNIX_EPOCH))));

        // Less than one run in 10^18 is outside of these limits.
        assert!((800..1200).contains(&kept.count()));
    }

    #[test]
    fn sampling_ratio_is_from_0_to_1() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SamplingRatio::new(wrong), None, "{wrong}");
        }
    }
}
