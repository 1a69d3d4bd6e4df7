//! What is read at each end of a chat.

use super::*;

/// What both sides read at each end.
pub fn ends() -> String {
    let ends: [(&str, Happening<PortalId>); 10] = [
        ("the guest ends it", |case| {
            input(case, |portal| Input::Leave { portal })
        }),
        ("the host leaves", |case| {
            member(case, "alice", Membership::Leave)
        }),
        ("the host kicks the guest", |case| {
            member(case, "ghost", Membership::Leave)
        }),
        ("the host bans the guest", |case| {
            member(case, "ghost", Membership::Ban)
        }),
        ("`end`", |case| command(case, "end 1")),
        ("`block`", |case| command(case, "block 1")),
        ("an admin's `end`", |case| steered(&mut case.world, "end 1")),
        ("somebody else comes", |case| {
            member(case, "eve", Membership::Join)
        }),
        ("the homeserver takes the guest out", taken_out),
        ("nobody wrote", |case| {
            case.world.pass(10 * DAY);
            case.world.submit(tick()).is_ok()
        }),
    ];
    let mut text =
        "| why | the page | the host's client, as the guest's leaving | the bot |\n|---|---|---|---|\n"
            .to_owned();
    for (why, end) in ends {
        let mut case = begun(|world| world.open(1));
        assert!(end(&mut case));
        let frames = case.world.frames(case.it);
        let [InboxFrame::Ended { reason }] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        let reason = serde_json::to_value(reason).unwrap();
        let leaving = case
            .world
            .effects()
            .into_iter()
            .find_map(|(_, effect)| match effect {
                Effect::GhostLeaves { reason, .. } => Some(reason),
                _ => None,
            });
        let said: Vec<String> = case
            .world
            .said()
            .into_iter()
            .map(|words| words.plain)
            .collect();
        text.push_str(&format!(
            "| {why} | `{}` | {} | {} |\n",
            reason.as_str().unwrap(),
            leaving.unwrap(),
            said.join(" ").replace('\n', " ")
        ));
    }
    text
}
