//! Rule files, and one evaluation of a rule group.
