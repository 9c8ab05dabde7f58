//! Users and groups, as the system knows them.

use nix::unistd::{Group, Uid, User, getegid};

/// The name and the number of a user.
pub(super) fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)).ok().flatten() {
        Some(user) => format!("{} (uid {uid})", user.name),
        None => format!("uid {uid}"),
    }
}

/// Whether this group is the primary one of this user, is called like him, and has nobody in it but `people`. The name tells
/// it from a group that a directory service gives to everybody, whose users stand in no file.
pub(super) fn is_own_group(uid: u32, gid: u32, people: &[u32]) -> bool {
    let me = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let primary = me.as_ref().map_or_else(getegid, |it| it.gid);
    let group = Group::from_gid(primary).ok().flatten();
    let is_person = |name: &String| {
        User::from_name(name).ok().flatten().is_some_and(|it| people.contains(&it.uid.as_raw()))
    };
    // In a container neither may have a name.
    let is_named_alike = group.as_ref().is_none_or(|group| me.is_some_and(|me| me.name == group.name));
    let has_no_others = group.is_none_or(|group| group.mem.iter().all(is_person));
    let users = fs_err::read_to_string("/etc/passwd").unwrap_or_default();
    primary.as_raw() == gid && is_named_alike && has_no_others && !is_shared(&users, gid, people)
}

/// Whether a line of a `passwd` file gives this primary group to somebody who is not one of these.
fn is_shared(users: &str, gid: u32, people: &[u32]) -> bool {
    users.lines().any(|line| {
        let mut fields = line.split(':').skip(2).map(|it| it.parse::<u32>().ok());
        let (uid, primary) = (fields.next().flatten(), fields.next().flatten());
        primary == Some(gid) && !uid.is_some_and(|it| people.contains(&it))
    })
}

/// Whether this uid stands for everybody whom the user namespace does not know: what belongs to it may be anybody's.
pub(super) fn is_unknown(uid: u32) -> bool {
    // The first user namespace of a system knows everybody. Linux alone has others.
    const EVERYBODY: u32 = u32::MAX;
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let knows_everybody = |map: &str| {
        let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok());
        counts.fold(0, u32::saturating_add) == EVERYBODY
    };
    let is_overflow = || read("/proc/sys/kernel/overflowuid").trim().parse() == Ok(uid);
    uid != 0 && is_overflow() && !knows_everybody(&read("/proc/self/uid_map"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_the_primary_one_of_two_users_is_not_private() {
        let users = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/:\nyou:x:1001:1001::/:\nmine:x:1002:1000::/:\n+::::::\n";
        assert!(is_shared(users, 1000, &[1000]));
        assert!(!is_shared(users, 1000, &[1000, 1002]));
        assert!(!is_shared(users, 1001, &[1001]));
        assert!(!is_shared("", 1000, &[1000]));
    }
}
