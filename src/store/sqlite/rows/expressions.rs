//! SQL expressions on a row of `events`, for its entry in a list and for conditions of a filter.

/// Whether Savio may have a request of the event twice, or may get it twice.
pub(crate) const MAY_REPEAT: &str = "(events.may_repeat OR EXISTS
    (SELECT 1 FROM requests WHERE requests.event = events.number AND requests.may_repeat))";

/// Whether a request of the event is being sent.
pub(crate) const SENDING: &str = "EXISTS
    (SELECT 1 FROM requests WHERE requests.event = events.number AND requests.state = 'sending')";

/// Where the event stopped: a `StoppedAt`.
// By the last attempt since the event was queued: one that was dead before a replay may have failed
// otherwise then. Without an attempt since, it was not mapped.
pub(crate) const STAGE: &str = "(CASE events.state
    WHEN 'ignored' THEN 'mapping'
    WHEN 'held' THEN 'savio'
    WHEN 'dead' THEN coalesce(
        (SELECT CASE WHEN at < events.queued_at THEN 'mapping'
                     WHEN outcome IN ('refused', 'paused', 'done') THEN 'savio'
                     ELSE 'time' END
         FROM attempts WHERE attempts.event = events.number
         ORDER BY attempts.number DESC LIMIT 1),
        'mapping')
    END)";
