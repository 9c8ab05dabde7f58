//! Users and groups of the system.

use nix::unistd::{Group, Uid, User, getegid};

/// Returns the name and the uid of a user.
pub(crate) fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)).ok().flatten() {
        Some(user) => format!("{} (uid {uid})", user.name),
        None => format!("uid {uid}"),
    }
}

/// Returns whether this group is the primary group of this user, has the name of the user, and has no members except
/// `users`. The name distinguishes it from a group that a directory service gives to every user, whose members are not
/// in a file.
pub(super) fn is_user_private_group(uid: u32, gid: u32, users: &[u32]) -> bool {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let primary = user.as_ref().map_or_else(getegid, |user| user.gid);
    let group = Group::from_gid(primary).ok().flatten();
    let is_allowed = |name: &String| {
        User::from_name(name).ok().flatten().is_some_and(|member| users.contains(&member.uid.as_raw()))
    };
    // In a container, the user and the group may have no names.
    let has_same_name = group.as_ref().is_none_or(|group| user.is_some_and(|user| user.name == group.name));
    let has_no_others = group.is_none_or(|group| group.mem.iter().all(is_allowed));
    let passwd = fs_err::read_to_string("/etc/passwd").unwrap_or_default();
    primary.as_raw() == gid && has_same_name && has_no_others && !is_shared(&passwd, gid, users)
}

/// Returns whether a `passwd` file gives this primary group to any other user.
fn is_shared(passwd: &str, gid: u32, users: &[u32]) -> bool {
    passwd.lines().any(|line| {
        let mut fields = line.split(':').skip(2).map(|field| field.parse::<u32>().ok());
        let (uid, primary) = (fields.next().flatten(), fields.next().flatten());
        primary == Some(gid) && !uid.is_some_and(|uid| users.contains(&uid))
    })
}

/// Returns whether this uid stands for all users that the user namespace does not map, so that a file of it may belong
/// to any user.
pub(crate) fn is_unknown(uid: u32) -> bool {
    // The first user namespace of a system maps all users. Only Linux has others.
    const ALL_USERS: u32 = u32::MAX;
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let maps_all_users = |map: &str| {
        let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok());
        counts.fold(0, u32::saturating_add) == ALL_USERS
    };
    let is_overflow = || read("/proc/sys/kernel/overflowuid").trim().parse() == Ok(uid);
    uid != 0 && is_overflow() && !maps_all_users(&read("/proc/self/uid_map"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_group_of_two_users_is_not_private() {
        let users = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/:\nyou:x:1001:1001::/:\nmine:x:1002:1000::/:\n+::::::\n";
        assert!(is_shared(users, 1000, &[1000]));
        assert!(!is_shared(users, 1000, &[1000, 1002]));
        assert!(!is_shared(users, 1001, &[1001]));
        assert!(!is_shared("", 1000, &[1000]));
    }
}
