//! The timeline of a machine: its facts, in words.
