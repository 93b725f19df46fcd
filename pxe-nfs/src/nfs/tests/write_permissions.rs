//! Who may change what: the rules of POSIX, against squashed credentials.

use nfs3_types::nfs3::{
    Nfs3Option, createhow3, nfsstat3, nfstime3, sattr3, set_atime, set_mtime, stable_how,
};

use super::writer::{Writer, mode};

const ACCES: Option<nfsstat3> = Some(nfsstat3::NFS3ERR_ACCES);
const PERM: Option<nfsstat3> = Some(nfsstat3::NFS3ERR_PERM);

fn owned_by(uid: Option<u32>, gid: Option<u32>) -> sattr3 {
    let option = |id: Option<u32>| id.map_or(Nfs3Option::None, Nfs3Option::Some);
    sattr3 {
        uid: option(uid),
        gid: option(gid),
        ..sattr3::default()
    }
}

#[tokio::test]
async fn names_are_given_by_who_may_write_to_the_directory() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let (dir, _) = owner.mkdir(&root, "d", mode(0o775)).await.expect("made");
    let (sub, _) = owner.mkdir(&dir, "sub", mode(0o755)).await.expect("made");
    let file = owner.file(&dir, "f", 0o644).await;
    let stranger = owner.stranger();
    let new = || createhow3::UNCHECKED(mode(0o600));
    let refused = [
        stranger.create(&dir, "x", new()).await.err(),
        stranger.mkdir(&dir, "x", mode(0o700)).await.err(),
        stranger.symlink(&dir, "x", "y").await.err(),
        stranger.link(&file, &dir, "x").await.err(),
        stranger.remove(&dir, "f").await.err(),
        stranger.rmdir(&dir, "sub").await.err(),
        stranger.rename((&dir, "f"), (&dir, "x")).await.err(),
    ];
    assert_eq!(refused, [ACCES; 7]);
    // What is there may be opened: that changes no name.
    let found = stranger.create(&dir, "f", new()).await.expect("found");
    assert_eq!(found.0, file);
    // By one of the groups.
    let member = owner.user(owner.client.uid + 1, 7, &[8, owner.client.gid]);
    member.symlink(&dir, "by member", "x").await.expect("made");
    member.remove(&dir, "by member").await.expect("removed");
    // Writing alone does not do: names have to be looked up as well.
    owner.set(&dir, mode(0o722)).await.expect("set");
    assert_eq!(stranger.mkdir(&dir, "x", mode(0o700)).await.err(), ACCES);
    // A directory that is moved is changed itself.
    owner.set(&dir, mode(0o777)).await.expect("set");
    owner.set(&root, mode(0o777)).await.expect("set");
    assert_eq!(
        stranger.rename((&dir, "sub"), (&root, "sub")).await.err(),
        ACCES
    );
    stranger
        .rename((&dir, "sub"), (&dir, "other"))
        .await
        .expect("renamed");
    owner.set(&sub, mode(0o777)).await.expect("set");
    stranger
        .rename((&dir, "other"), (&root, "sub"))
        .await
        .expect("moved");
    stranger
        .rename((&dir, "f"), (&root, "f"))
        .await
        .expect("a file");
}

#[tokio::test]
async fn in_a_sticky_directory_names_are_their_owners() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let (tmp, _) = owner.mkdir(&root, "tmp", mode(0o1777)).await.expect("made");
    owner.file(&tmp, "f", 0o666).await;
    owner.file(&tmp, "g", 0o666).await;
    let stranger = owner.stranger();
    owner.set(&root, mode(0o777)).await.expect("set");
    owner.mkdir(&tmp, "d", mode(0o777)).await.expect("made");
    stranger
        .mkdir(&root, "mine", mode(0o777))
        .await
        .expect("made");
    assert_eq!(stranger.remove(&tmp, "f").await.err(), PERM);
    assert_eq!(stranger.rmdir(&tmp, "d").await.err(), PERM);
    assert_eq!(stranger.rename((&tmp, "f"), (&root, "f")).await.err(), PERM);
    assert_eq!(
        stranger.rename((&root, "mine"), (&tmp, "d")).await.err(),
        PERM
    );
    let none = stranger.remove(&tmp, "none").await;
    assert_eq!(none, Err(nfsstat3::NFS3ERR_NOENT));
    owner
        .rename((&tmp, "f"), (&tmp, "g"))
        .await
        .expect("his own");
    owner.remove(&tmp, "g").await.expect("his own");
    owner
        .root_user()
        .rmdir(&tmp, "d")
        .await
        .expect("root may all");
}

#[tokio::test]
async fn attributes_are_set_by_the_owner() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let file = owner.file(&root, "f", 0o666).await;
    let stranger = owner.stranger();
    let (uid, gid) = (owner.client.uid, owner.client.gid);
    let then = nfstime3 {
        seconds: 5,
        nseconds: 0,
    };
    let at_times = |atime, mtime| sattr3 {
        atime,
        mtime,
        ..sattr3::default()
    };
    let to = at_times(set_atime::SET_TO_CLIENT_TIME(then), set_mtime::DONT_CHANGE);
    let now = at_times(set_atime::SET_TO_SERVER_TIME, set_mtime::SET_TO_SERVER_TIME);
    assert_eq!(stranger.set(&file, mode(0o600)).await.err(), PERM);
    assert_eq!(stranger.set(&file, to.clone()).await.err(), PERM);
    stranger
        .set(&file, now.clone())
        .await
        .expect("who may write may touch");
    owner.set(&file, mode(0o644)).await.expect("set");
    assert_eq!(stranger.set(&file, now.clone()).await.err(), ACCES);
    owner.set(&file, to).await.expect("his own");
    owner.set(&file, mode(0o000)).await.expect("set");
    owner
        .set(&file, now)
        .await
        .expect("his own, whatever its mode");
    // Nobody gives a file away, and to groups only as one of them.
    for (who, wanted, status) in [
        (&owner, owned_by(Some(uid + 1), None), PERM),
        (&stranger, owned_by(Some(uid + 1), None), PERM),
        (&stranger, owned_by(None, Some(gid + 1)), PERM),
        (&owner, owned_by(None, Some(gid + 7)), PERM),
        (&owner, owned_by(Some(uid), Some(gid)), None),
        (
            &owner,
            owned_by(None, Some(u32::MAX)),
            Some(nfsstat3::NFS3ERR_INVAL),
        ),
    ] {
        assert_eq!(who.set(&file, wanted).await.err(), status);
    }
}

/// Root of `no_root_squash` gives files away where this process may.
#[tokio::test]
async fn root_gives_files_away_if_this_process_may() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let file = owner.file(&root, "f", 0o666).await;
    let to_others = owned_by(Some(4000), Some(5000));
    let given = owner.root_user().set(&file, to_others.clone()).await;
    let made = owner
        .root_user()
        .create(&root, "g", createhow3::GUARDED(to_others))
        .await;
    let (_, made) = made.expect("made in any case");
    match given {
        Ok(given) => {
            assert_eq!((given.uid, given.gid), (4000, 5000));
            assert_eq!((made.uid, made.gid), (4000, 5000));
        }
        // It is told, and what is made stays this process's.
        Err(status) => {
            assert_eq!(Some(status), PERM);
            assert_eq!(made.uid, owner.client.uid);
        }
    }
}

/// chown(2), write(2) and truncate(2) take the bits away by which a program runs as its owner.
#[tokio::test]
async fn nobody_runs_as_somebody_else_by_writing() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let (uid, gid) = (owner.client.uid, owner.client.gid);
    let file = owner.file(&root, "f", 0o666).await;
    let bits = async || owner.attributes(&file).await.expect("there").mode;
    let empty = || sattr3 {
        size: Nfs3Option::Some(0),
        ..sattr3::default()
    };
    let stranger = owner.stranger();
    for before in [0o6777, 0o2676, 0o4666] {
        // A group bit without `x` is another thing (mandatory locks), and stays.
        owner.set(&file, mode(before)).await.expect("set");
        let after = if before & 0o010 == 0 {
            before & 0o3777
        } else {
            before & 0o777
        };
        stranger
            .write(&file, 0, b"x", stable_how::UNSTABLE)
            .await
            .expect("written");
        assert_eq!(bits().await, after, "{before:o}");
        owner.set(&file, mode(before)).await.expect("set");
        stranger.set(&file, empty()).await.expect("cut");
        assert_eq!(bits().await, after, "{before:o}");
        owner.set(&file, mode(before)).await.expect("set");
        owner
            .set(&file, owned_by(Some(uid), Some(gid)))
            .await
            .expect("to himself");
        assert_eq!(bits().await, after, "{before:o}");
    }
    // Even with the mode in the same call.
    let both = sattr3 {
        mode: Nfs3Option::Some(0o6755),
        ..owned_by(Some(uid), None)
    };
    owner.set(&file, both).await.expect("set");
    assert_eq!(bits().await, 0o755);
    // To run as a group one has to be in it.
    let outside = owner.user(uid, gid + 1, &[]);
    outside.set(&file, mode(0o2755)).await.expect("set");
    assert_eq!(bits().await, 0o755);
}

#[tokio::test]
async fn what_is_made_in_a_group_directory_is_the_groups() {
    let owner = Writer::owner();
    let root = owner.root().await;
    let (shared, _) = owner
        .mkdir(&root, "shared", mode(0o777))
        .await
        .expect("made");
    owner.set(&shared, mode(0o2777)).await.expect("set");
    let gid = owner.client.gid;
    let other = owner.user(owner.client.uid, gid + 1, &[]);
    let (_, file) = other
        .create(&shared, "f", createhow3::GUARDED(mode(0o2775)))
        .await
        .expect("made");
    assert_eq!((file.gid, file.mode), (gid, 0o775), "not in the group");
    let (_, below) = other.mkdir(&shared, "d", mode(0o755)).await.expect("made");
    assert_eq!((below.gid, below.mode), (gid, 0o2755), "and so on below");
    let (_, link) = other.symlink(&shared, "l", "x").await.expect("made");
    assert_eq!(link.gid, gid);
}

/// What was opened when it was made is written to whatever its mode: `open(2)` with `O_CREAT`
/// of a file that is read-only, as `cp -p` and git do it.
#[tokio::test]
async fn the_owner_writes_whatever_the_mode() {
    let owner = Writer::owner();
    let root = owner.root().await;
    for bits in [0o444, 0o000] {
        let name = bits.to_string();
        let file = owner.file(&root, &name, bits).await;
        for _ in 0..3 {
            owner
                .write(&file, 0, b"x", stable_how::UNSTABLE)
                .await
                .expect("written");
            owner.commit(&file).await.expect("committed");
        }
        let stranger = owner.stranger();
        let refused = stranger.write(&file, 0, b"y", stable_how::FILE_SYNC).await;
        assert_eq!(refused.err(), ACCES);
        assert_eq!(stranger.commit(&file).await.err(), ACCES);
    }
}
