//! Words in the keys of payloads, by what they say of a value. No names of tools.

// Each list has its words in the singular, since plurals count as well, and phrases with hyphens.

/// People who write to a company: their words are the feedback.
pub(super) const CUSTOMERS: &str = "applicant asker attendee author booker buyer client commenter consumer contact \
    customer follower from invitee lead participant patient player proposer requester requestor reply-to \
    reported-by reporter requested-by respondent responder reviewer scheduler sender shopper student \
    submitted-by submitter subscriber triggered-by visitor voter your";
/// People of whom it is not clear on which side they are.
pub(super) const PEOPLE: &str = "account-holder actor created-by creator end-user guest identity member people person profile \
    session user";
/// People of the company that receives the feedback, and whom a message is for.
pub(super) const STAFF: &str = "account-manager admin administrator agent assigned assigned-to assignee bcc cc \
    collector csm employee executive handler host inbox internal mailbox manager merchant moderator operator \
    organiser organizer owner processing recipient rep representative sales seller staff support team teammate \
    tech vendor";
/// Keys of texts that only people write.
pub(super) const OWN_WORDS: &str = "answer comment complaint feedback idea improvement message note opinion problem question \
    reason remark request review suggestion testimonial verbatim wish";
/// Keys of a text under its title.
pub(super) const BODIES: &str = "body content description detail plain text value";
/// Keys of the heading of such a text.
pub(super) const TITLES: &str = "title subject summary headline heading";
/// Keys of values that may have several words and that no person wrote.
pub(super) const LABELS: &str = "name type id uid date at agent status state label pseudonym slug locale zone timezone browser device \
    os version currency time platform city country address sentiment";
/// Keys of copies of a text, shortened or in another form.
pub(super) const COPIES: &str = "excerpt preview snippet old original";
/// Keys of a company.
pub(super) const COMPANIES: &str = "company companies employer firm organisation organization";
/// Keys of links to a page.
pub(super) const LINKS: &str = "app dashboard html permalink public share shared web view";
/// Keys of links that only programs follow, or that do something when opened.
pub(super) const MACHINES: &str = "api avatar callback cancel download embed file href-api icon image logo photo picture referrer \
    reschedule screenshot server unsubscribe upload uri webhook hook";
/// Keys of links to where the person was.
pub(super) const ELSEWHERE: &str = "current entry landing origin page referer site source start";
/// Keys that name the kind of an event.
pub(super) const EVENT: &str =
    "event event-name event-type hook topic trigger trigger-event webhook-event";

/// Keys of objects that describe the event's surroundings, such as its form or board. Their texts
/// were not written by the person.
pub(super) const SETTINGS: &str = "app attribution board booking-type bucket calendar campaign category channel config definition \
    department event-type form forum label link location meta metadata organization page plan product project \
    repository setting site status survey tag team template topic type workspace workflow";
/// Keys of objects that hold what the person sent.
pub(super) const CONTENTS: &str = "answer booking case chat comment conversation data entry event feedback idea issue item message \
    note part payload post record recording request response review submission suggestion ticket";
/// Verbs of events, as tools write them.
pub(super) const VERBS: &str = "accepted added answered approved archived assigned booked canceled cancelled changed \
    closed commented completed create created declined delete deleted edited entered failed finished incoming new \
    opened posted published received removed replied reported requested rescheduled resolved responded sent started \
    submission submit submitted triggered update updated upvoted viewed voted";
