use super::*;

fn identity(ino: u64) -> Identity {
    Identity {
        dev: (0, 1),
        ino,
        birth: None,
    }
}

fn stamp(number: u64) -> Stamp {
    u128::from(number).to_le_bytes()
}

fn name(number: u64) -> NameBuf {
    NameBuf::new(format!("n{number}")).expect("valid")
}

#[test]
fn the_table_is_bounded_and_knows_the_way_up() {
    let mut table = Table::new(identity(1), stamp(1), 10, DirKeys::Inode);
    let dir = table
        .intern(ROOT, &name(2), identity(2), stamp(2))
        .expect("room");
    let deep = table
        .intern(dir, &name(3), identity(3), stamp(3))
        .expect("room");
    for number in 100..1000 {
        table.place(deep, 0).expect("in use, so never forgotten");
        table
            .intern(ROOT, &name(number), identity(number), stamp(number))
            .expect("room is made");
        assert!(table.slots.len() <= 10 && table.by_stamp.len() <= 10);
        let root = table.get(ROOT).expect("never forgotten");
        assert!(root.by_name.len() < 10 && root.children < 10);
    }
    assert_eq!(table.place(deep, 0).expect("kept").path, b"n2/n3");
    table.place(ROOT, 0).expect("never forgotten");
}

#[test]
fn a_chain_too_long_for_the_table_is_refused() {
    let mut table = Table::new(identity(1), stamp(1), 5, DirKeys::Inode);
    let mut here = ROOT;
    for number in 2..6 {
        here = table
            .intern(here, &name(number), identity(number), stamp(number))
            .expect("room");
    }
    assert_eq!(
        table.intern(here, &name(6), identity(6), stamp(6)),
        Err(ErrorKind::Busy)
    );
    // Not counted as a child: the last one can be forgotten, and room is made elsewhere.
    table
        .intern(ROOT, &name(7), identity(7), stamp(7))
        .expect("room is made");
    assert_eq!(table.place(here, 0).err(), Some(ErrorKind::Stale));
}

#[test]
fn another_file_of_the_same_name_is_another_node() {
    let mut table = Table::new(identity(1), stamp(1), 10, DirKeys::Inode);
    let old = table
        .intern(ROOT, &name(2), identity(2), stamp(2))
        .expect("room");
    let new = table
        .intern(ROOT, &name(2), identity(3), stamp(3))
        .expect("room");
    assert_ne!(old, new);
    assert_eq!(table.intern(ROOT, &name(2), identity(3), stamp(3)), Ok(new));
    assert_eq!(table.place(old, 0).expect("known").identity, identity(2));
}

#[test]
fn a_moved_node_has_its_first_hints_and_a_new_place() {
    let mut table = Table::new(identity(1), stamp(1), 10, DirKeys::Inode);
    let mut make = |dir, number| {
        let made = table.intern(dir, &name(number), identity(number), stamp(number));
        made.expect("room")
    };
    let (a, b) = (make(ROOT, 2), make(ROOT, 3));
    let below = make(a, 4);
    let file = make(below, 5);
    let hints = table.hints(file);
    assert_eq!(hints.len(), 2);
    let (from, to) = ((a, &*name(4)), (b, &*name(6)));
    table.moved(from, to, identity(4));
    assert_eq!(table.place(file, 0).expect("known").path, b"n3/n6/n5");
    assert_eq!(table.hints(file), hints);
    assert_eq!(table.hints(below), hints[..1]);
    // What is made there later goes by them, too: one way for all.
    let later = table
        .intern(below, &name(7), identity(7), stamp(7))
        .expect("room");
    assert_eq!(table.hints(later), hints);
    // Within one directory nothing changes.
    let (from, to) = ((below, &*name(5)), (below, &*name(8)));
    table.moved(from, to, identity(5));
    assert_eq!(table.place(file, 0).expect("known").path, b"n3/n6/n8");
}

/// Changes of two threads may be noted in another order than they were made in.
#[test]
fn what_cannot_be_is_not_noted() {
    let mut table = Table::new(identity(1), stamp(1), 10, DirKeys::Inode);
    let a = table
        .intern(ROOT, &name(2), identity(2), stamp(2))
        .expect("room");
    let b = table
        .intern(a, &name(3), identity(3), stamp(3))
        .expect("room");
    // A directory into itself: every way up would go round for ever.
    table.moved((ROOT, &name(2)), (b, &name(4)), identity(2));
    assert_eq!(table.place(b, 0).expect("known").path, b"n2/n3");
    // Another file than the one that was moved.
    table.moved((a, &name(3)), (ROOT, &name(5)), identity(9));
    assert_eq!(table.place(b, 0).expect("known").path, b"n2/n3");
    // From and to where nothing is known.
    table.moved((b, &name(6)), (b, &name(7)), identity(6));
    table.removed(b, &name(7), true);
}

#[test]
fn names_that_come_and_go_leave_nothing_behind() {
    let mut table = Table::new(identity(1), stamp(1), 10, DirKeys::Inode);
    let dir = table
        .intern(ROOT, &name(2), identity(2), stamp(2))
        .expect("room");
    for number in 10..1000 {
        let made = table.intern(ROOT, &name(number), identity(number), stamp(number));
        made.expect("room is made");
        table.moved((ROOT, &name(number)), (dir, &name(3)), identity(number));
        table.removed(dir, &name(3), number % 2 == 0);
        assert_eq!(table.stamped(stamp(number)), None, "it has no name");
        assert!(table.len() <= 10 && table.slots.len() <= 10);
        assert!(table.by_stamp.len() <= 10);
    }
    table.removed(ROOT, &name(2), false);
    for number in 1000..1020 {
        table
            .intern(ROOT, &name(number), identity(number), stamp(number))
            .expect("room");
    }
    assert_eq!(
        table.place(dir, 0).err(),
        Some(ErrorKind::Stale),
        "forgotten: it has no nodes"
    );
}
