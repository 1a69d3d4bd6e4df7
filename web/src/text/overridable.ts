/**
 * Which texts an organisation may word itself, and what each must speak of.
 *
 * Not among them: who can read, what was erased, what became of a message, changed identities, and endings
 * that nobody of the two wanted. The page says these in its own words, or they would be worth nothing.
 * `overridable.json` has the English ones for whoever checks a configuration; a test holds it current.
 */
export const OVERRIDABLE = {
  title: [],
  "join.invites": ["host"],
  "join.name": [],
  "join.nameHelp": ["host"],
  "join.passcode": [],
  "join.passcodeHelp": ["host"],
  "join.start": [],
  "join.facts.free": [],
  "join.facts.idle": ["time"],
  "join.expires": ["time"],
  "join.terms": [],
  "join.termsOf": ["organisation"],
  "chat.invited": ["host"],
  "chat.endsSoon": ["date"],
  "problems.no-link.title": [],
  "problems.no-link.text": [],
  "problems.link-malformed.title": [],
  "problems.link-malformed.text": [],
  "problems.link-unknown.title": [],
  "problems.link-unknown.text": [],
  "problems.link-used.title": [],
  "problems.link-used.text": [],
  "problems.link-expired.title": [],
  "problems.link-expired.text": [],
  "problems.link-revoked.title": [],
  "problems.link-revoked.text": [],
  "problems.paused.title": [],
  "problems.paused.text": [],
  "problems.host-busy.title": [],
  "problems.host-busy.text": [],
  "problems.too-many-tries.title": [],
  "problems.too-many-tries.text": [],
  "problems.passcode-spent.title": [],
  "problems.passcode-spent.text": [],
  "problems.unreachable.title": [],
  "problems.unreachable.text": [],
  "endings.host.title": [],
  "endings.host.text": ["host"],
  "endings.guest.title": [],
  "endings.guest.text": [],
  "endings.expired.title": [],
  "endings.expired.text": [],
  "endings.admin.title": [],
  "endings.admin.text": [],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type OverridableKey = keyof typeof OVERRIDABLE;
