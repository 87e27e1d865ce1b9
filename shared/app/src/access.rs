//! Who may do what: tokens, sessions, roles, tenants.

use jiff::tz::TimeZone;
use model::{Language, TenantId};

/// What a person's work is, which decides the pages and reports they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Operations: everything.
    Ops,
    /// Engineering: everything but access.
    Tech,
    /// Management: the overview and reports.
    Exec,
}

/// Who looks at a page, and how they want it.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Whose data they see.
    pub tenant: TenantId,
    /// The name of the token they came with; empty without one.
    pub name: String,
    /// What they may see.
    pub role: Role,
    /// Whether they came with a token and can log out.
    pub logged_in: bool,
    /// The language of the page.
    pub language: Language,
    /// The time zone of the page.
    pub time_zone: TimeZone,
    /// The token that every changing form of the page carries.
    pub csrf: String,
}
