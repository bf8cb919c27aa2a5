//! The codes of this crate's diagnostics: one for each kind of mistake, each with a page in `docs/errors`. Codes are never reused and never change their
//! meaning. The first two digits tell the area: 02 names, 03 types, 04 tables and sources, 05 sinks and kinds, 06 connectors, options and params, 07 what is
//! not supported yet, 08 data quality; `W` is a warning.

/// A name is declared twice.
pub const DUPLICATE_DECLARATION: &str = "E0201";
/// A column that does not exist.
pub const UNKNOWN_COLUMN: &str = "E0202";
/// A source, table or flow that does not exist.
pub const UNKNOWN_RELATION: &str = "E0203";
/// A function that does not exist.
pub const UNKNOWN_FUNCTION: &str = "E0204";
/// A name in a function that is neither operand nor param.
pub const UNKNOWN_NAME: &str = "E0205";
/// A used file cannot be read.
pub const USE_NOT_FOUND: &str = "E0206";
/// Files use each other in a circle.
pub const USE_CYCLE: &str = "E0207";
/// A function calls itself.
pub const RECURSIVE_FUNCTION: &str = "E0208";
/// A flow reads itself.
pub const FLOW_CYCLE: &str = "E0209";
/// Two columns of one name.
pub const DUPLICATE_COLUMN: &str = "E0210";
/// A name means both a joined table and a column.
pub const AMBIGUOUS_NAME: &str = "E0211";
/// A struct's field that does not exist.
pub const UNKNOWN_FIELD: &str = "E0212";
/// A column without a name.
pub const NAME_NEEDED: &str = "E0213";
/// A table is joined twice under one name.
pub const DUPLICATE_ALIAS: &str = "E0214";
/// A function has the name of a built-in one.
pub const BUILT_IN_REDEFINED: &str = "E0215";
/// A type that does not exist.
pub const UNKNOWN_TYPE: &str = "E0216";
/// A join without a condition.
pub const JOIN_CONDITION: &str = "E0217";
/// A kind of window that does not exist.
pub const UNKNOWN_WINDOW: &str = "E0218";
/// An operator does not take these types.
pub const BAD_OPERANDS: &str = "E0301";
/// Values of different types are compared.
pub const NOT_COMPARABLE: &str = "E0302";
/// A condition is not a boolean.
pub const NOT_A_CONDITION: &str = "E0303";
/// A function gets too many or too few operands.
pub const WRONG_ARITY: &str = "E0304";
/// A function's operand has the wrong type.
pub const BAD_OPERAND: &str = "E0305";
/// A function's operand may be null, and must not.
pub const NULL_OPERAND: &str = "E0306";
/// Branches or elements have no common type.
pub const NO_COMMON_TYPE: &str = "E0307";
/// A `match` leaves values out.
pub const NOT_EXHAUSTIVE: &str = "E0308";
/// A conversion that does not exist.
pub const NO_CONVERSION: &str = "E0309";
/// A function's body does not fit its declared result.
pub const BAD_RESULT: &str = "E0310";
/// An aggregate outside an `aggregate` step.
pub const MISPLACED_AGGREGATE: &str = "E0311";
/// An aggregate inside another.
pub const NESTED_AGGREGATE: &str = "E0312";
/// A column that is neither a key nor aggregated.
pub const NOT_A_KEY: &str = "E0313";
/// A regular expression with a mistake.
pub const BAD_REGEX: &str = "E0314";
/// A field of something that has none.
pub const NOT_A_STRUCT: &str = "E0315";
/// An element of something that has none.
pub const NOT_INDEXABLE: &str = "E0316";
/// An element is chosen by a value of the wrong type.
pub const BAD_INDEX: &str = "E0317";
/// A constant is needed.
pub const NOT_CONSTANT: &str = "E0318";
/// A size that a type cannot have.
pub const BAD_TYPE_SIZE: &str = "E0319";
/// An operand with a name.
pub const NAMED_OPERAND: &str = "E0320";
/// Functions are nested too deep or called too often.
pub const TOO_LARGE: &str = "E0321";
/// Something other than an array is exploded.
pub const NOT_AN_ARRAY: &str = "E0322";
/// Values without an order are sorted, compared or grouped.
pub const NOT_ORDERED: &str = "E0323";
/// `where` behind a function that is no aggregate.
pub const FILTER_ON_FUNCTION: &str = "E0324";
/// A column is nothing but `null`.
pub const UNTYPED_NULL: &str = "E0325";
/// A percentile's fraction is not a constant from 0 to 1.
pub const BAD_FRACTION: &str = "E0326";
/// The sides of a union have different columns.
pub const UNION_COLUMNS: &str = "E0327";
/// A constant has the wrong type.
pub const BAD_VALUE_TYPE: &str = "E0328";
/// A constant has a value that cannot be.
pub const BAD_VALUE: &str = "E0329";
/// Windows that cannot be.
pub const BAD_WINDOW: &str = "E0330";
/// There is nothing at a location.
pub const TABLE_NOT_FOUND: &str = "E0401";
/// What is at a location is not what the connector reads.
pub const NOT_A_TABLE: &str = "E0402";
/// A version that the table does not have.
pub const NO_SUCH_VERSION: &str = "E0403";
/// A schema lists a column that the table does not have.
pub const CONTRACT_MISSING: &str = "E0404";
/// A schema gives a column another type than the table.
pub const CONTRACT_TYPE: &str = "E0405";
/// A schema says that a nullable column is never null.
pub const CONTRACT_NULLABLE: &str = "E0406";
/// A table has a feature that flowc cannot read.
pub const UNREADABLE_TABLE: &str = "E0407";
/// A table has a column of an unknown type.
pub const UNKNOWN_COLUMN_TYPE: &str = "E0408";
/// The columns of csv or json files must be declared.
pub const SCHEMA_NEEDED: &str = "E0409";
/// A table cannot be reached.
pub const UNREACHABLE: &str = "E0410";
/// A clause where it has no meaning.
pub const MISPLACED_CLAUSE: &str = "E0411";
/// An event time that is no timestamp.
pub const NOT_A_TIME: &str = "E0412";
/// A watermark without event time, or a negative one.
pub const BAD_WATERMARK: &str = "E0413";
/// A clause of a source, table or sink stands twice.
pub const REPEATED_BLOCK_CLAUSE: &str = "E0414";
/// Rows without event time in a step that asks for it.
pub const EVENT_TIME_NEEDED: &str = "E0415";
/// A join as of a time, with a table that has no versions.
pub const NO_HISTORY: &str = "E0416";
/// A clause about changes that does not fit the source.
pub const BAD_CHANGES: &str = "E0417";
/// Rows that change are appended.
pub const CHANGING_APPENDED: &str = "E0501";
/// `sort` or `limit` over a stream without end.
pub const UNBOUNDED_APPENDED: &str = "E0502";
/// The flow has a column that the table lacks.
pub const COLUMN_NOT_IN_TABLE: &str = "E0503";
/// The table needs a column that the flow lacks.
pub const COLUMN_LACKING: &str = "E0504";
/// A column does not fit the table's type.
pub const COLUMN_TYPE: &str = "E0505";
/// A nullable column is written into one that must not be null.
pub const NULL_INTO_NOT_NULL: &str = "E0506";
/// The table is partitioned in another way.
pub const PARTITIONS_DIFFER: &str = "E0507";
/// A table cannot be partitioned so.
pub const BAD_PARTITION: &str = "E0508";
/// Two columns differ only by case.
pub const NAMES_DIFFER_BY_CASE: &str = "E0509";
/// A table has a feature that flowc cannot write.
pub const UNWRITABLE_TABLE: &str = "E0510";
/// Two sinks write one place.
pub const SHARED_TABLE: &str = "E0511";
/// A constraint or generated column of the table is not understood.
pub const TABLE_EXPRESSION: &str = "E0512";
/// A column name that Delta does not allow.
pub const BAD_COLUMN_NAME: &str = "E0513";
/// A type that the sink cannot hold.
pub const TYPE_NOT_WRITTEN: &str = "E0514";
/// A table property that Delta does not have.
pub const UNKNOWN_PROPERTY: &str = "E0515";
/// A flow without columns is written.
pub const NOTHING_WRITTEN: &str = "E0516";
/// A constraint or partition that SQL has no words for.
pub const NOT_SQL: &str = "E0517";
/// A sink writes what a source reads.
pub const WRITES_ITS_SOURCE: &str = "E0518";
/// An append-only table is overwritten.
pub const APPEND_ONLY: &str = "E0519";
/// The table has another constraint of this name.
pub const CONSTRAINTS_DIFFER: &str = "E0520";
/// Rows without end are computed as a whole.
pub const ENDLESS_OVERWRITE: &str = "E0521";
/// A step that would remember rows for ever.
pub const UNBOUNDED_STATE: &str = "E0522";
/// The late rows of something that none is late for.
pub const NOTHING_LATE: &str = "E0523";
/// Late rows of a flow with several steps that rows can be late for.
pub const LATE_FOR_SEVERAL: &str = "E0524";
/// `dedup` of rows that change.
pub const DEDUP_CHANGING: &str = "E0525";
/// A key of a sink that does not identify the flow's rows.
pub const KEY_NOT_UNIQUE: &str = "E0526";
/// An aggregate that asks for an order of rows that change.
pub const NO_ORDER: &str = "E0527";
/// A sink that keeps history has no time, or no place for it.
pub const HISTORY: &str = "E0528";
/// `late` of windows that nothing closes.
pub const LATE_WINDOW: &str = "E0529";
/// A connector that does not exist.
pub const UNKNOWN_CONNECTOR: &str = "E0601";
/// An option that the connector does not have.
pub const UNKNOWN_OPTION: &str = "E0602";
/// A connector lacks what it needs.
pub const MISSING_OPTION: &str = "E0603";
/// A connector that cannot be read, or not be written.
pub const WRONG_CONNECTOR: &str = "E0604";
/// An option is given twice.
pub const REPEATED_OPTION: &str = "E0605";
/// A param without a value.
pub const MISSING_PARAM: &str = "E0606";
/// A param's default does not fit.
pub const BAD_DEFAULT: &str = "E0607";
/// A type that a param cannot have.
pub const BAD_PARAM_TYPE: &str = "E0608";
/// Right and full joins are not supported yet.
pub const UNSUPPORTED_OUTER_JOIN: &str = "E0703";
/// `as of` in a join of streams is not supported yet.
pub const UNSUPPORTED_AS_OF: &str = "E0704";
/// `kafka` is not supported yet.
pub const UNSUPPORTED_KAFKA: &str = "E0713";
/// This kind of storage is not supported yet.
pub const UNSUPPORTED_STORAGE: &str = "E0716";
/// This table property is not supported yet.
pub const UNSUPPORTED_PROPERTY: &str = "E0717";
/// A table is not in `flow.lock`.
pub const NOT_LOCKED: &str = "E0831";
/// `flow.lock` is missing, or cannot be used.
pub const NO_LOCK: &str = "E0832";
/// Two rules of a flow have one name.
pub const DUPLICATE_RULE: &str = "E0801";
/// A repair gives a column another type.
pub const REPAIR_TYPE: &str = "E0802";
/// The rejected rows of a flow without a rule that quarantines.
pub const NOTHING_REJECTED: &str = "E0803";
/// `share` where it has no meaning.
pub const SHARE: &str = "E0804";
/// `in` a table's column where it cannot be tested.
pub const MEMBERSHIP: &str = "E0805";
/// The expectations of a flow reject rows of different kinds.
pub const REJECTS_DIFFER: &str = "E0806";
/// Malformed rows of something that has none.
pub const NO_MALFORMED: &str = "E0861";
/// Malformed rows are read that are not put aside.
pub const MALFORMED_NOT_KEPT: &str = "E0862";
/// `unique` over rows that do not end, or without the event time that it needs.
pub const UNIQUE: &str = "E0807";
/// A param is never used.
pub const UNUSED_PARAM: &str = "W0201";
/// A function is never used.
pub const UNUSED_FUNCTION: &str = "W0202";
/// A source or table is never used.
pub const UNUSED_SOURCE: &str = "W0203";
/// A flow goes nowhere.
pub const UNUSED_FLOW: &str = "W0204";
/// A constraint of a sink that no row can fulfil.
pub const REFUTED_CONSTRAINT: &str = "E0821";
/// A rule of an expectation that no row can pass.
pub const REFUTED_RULE: &str = "E0822";
/// Nothing guarantees a constraint of a sink.
pub const OPEN_CONSTRAINT: &str = "W0821";
/// A condition that no row can pass.
pub const DEAD_FILTER: &str = "W0822";
/// Nobody reads a column.
pub const UNREAD_COLUMN: &str = "W0205";
/// A column hides a param or function.
pub const SHADOWING: &str = "W0206";
/// A declaration in a used file is ignored.
pub const IGNORED_DECLARATION: &str = "W0207";
/// A test for null always comes out the same.
pub const CONSTANT_NULL_TEST: &str = "W0301";
/// An arm of a `match` is never reached.
pub const UNREACHABLE_ARM: &str = "W0302";
/// A default that is never used.
pub const NEEDLESS_DEFAULT: &str = "W0303";
/// A comparison with null.
pub const NULL_COMPARED: &str = "W0304";
/// What is computed from all rows is appended again with each run.
pub const APPENDED_AGAIN: &str = "W0501";
/// Which row of a key is the last depends on the epochs.
pub const LAST_BY_EPOCHS: &str = "W0502";
/// A column changed since `flow.lock` was written.
pub const COLUMN_DRIFT: &str = "W0831";
/// A constraint or generated column changed since `flow.lock` was written.
pub const RULE_DRIFT: &str = "W0832";
/// How a table is kept changed since `flow.lock` was written.
pub const STORAGE_DRIFT: &str = "W0833";
/// Rows are quarantined where no sink reads them.
pub const QUARANTINE_UNREAD: &str = "W0801";
/// Malformed rows are put aside, and go nowhere.
pub const MALFORMED_UNREAD: &str = "W0861";
/// A test gives or expects something that it cannot.
pub const TEST_SUBJECT: &str = "E0841";
/// A row of a test is not written as one.
pub const TEST_ROW: &str = "E0842";
/// A value of a test does not fit its column.
pub const TEST_VALUE: &str = "E0843";
/// A given row lacks a column that must not be null.
pub const TEST_COLUMN_LACKING: &str = "E0844";
/// A clause of a test where it has no meaning.
pub const TEST_CLAUSE: &str = "E0845";
/// `then error` with a code that no run stops with.
pub const TEST_ERROR_CODE: &str = "E0846";
/// With the params of a test the program is wrong.
pub const TEST_PARAMS: &str = "E0847";
/// A test expects nothing.
pub const TEST_EXPECTS_NOTHING: &str = "W0841";
/// What is tested reads the clock, and the test does not say what time it is.
pub const TEST_CLOCK: &str = "W0842";

/// All codes of this crate, each with one line that says what the mistake is.
pub const ALL: &[(&str, &str)] = &[
    (DUPLICATE_DECLARATION, "a name is declared twice"),
    (UNKNOWN_COLUMN, "a column that does not exist"),
    (UNKNOWN_RELATION, "a source, table or flow that does not exist"),
    (UNKNOWN_FUNCTION, "a function that does not exist"),
    (UNKNOWN_NAME, "a name in a function that is neither operand nor param"),
    (USE_NOT_FOUND, "a used file cannot be read"),
    (USE_CYCLE, "files use each other in a circle"),
    (RECURSIVE_FUNCTION, "a function calls itself"),
    (FLOW_CYCLE, "a flow reads itself"),
    (DUPLICATE_COLUMN, "two columns of one name"),
    (AMBIGUOUS_NAME, "a name means both a joined table and a column"),
    (UNKNOWN_FIELD, "a struct's field that does not exist"),
    (NAME_NEEDED, "a column without a name"),
    (DUPLICATE_ALIAS, "a table is joined twice under one name"),
    (BUILT_IN_REDEFINED, "a function has the name of a built-in one"),
    (UNKNOWN_TYPE, "a type that does not exist"),
    (JOIN_CONDITION, "a join without a condition"),
    (UNKNOWN_WINDOW, "a kind of window that does not exist"),
    (BAD_OPERANDS, "an operator does not take these types"),
    (NOT_COMPARABLE, "values of different types are compared"),
    (NOT_A_CONDITION, "a condition is not a boolean"),
    (WRONG_ARITY, "a function gets too many or too few operands"),
    (BAD_OPERAND, "a function's operand has the wrong type"),
    (NULL_OPERAND, "a function's operand may be null, and must not"),
    (NO_COMMON_TYPE, "branches or elements have no common type"),
    (NOT_EXHAUSTIVE, "a `match` leaves values out"),
    (NO_CONVERSION, "a conversion that does not exist"),
    (BAD_RESULT, "a function's body does not fit its declared result"),
    (MISPLACED_AGGREGATE, "an aggregate outside an `aggregate` step"),
    (NESTED_AGGREGATE, "an aggregate inside another"),
    (NOT_A_KEY, "a column that is neither a key nor aggregated"),
    (BAD_REGEX, "a regular expression with a mistake"),
    (NOT_A_STRUCT, "a field of something that has none"),
    (NOT_INDEXABLE, "an element of something that has none"),
    (BAD_INDEX, "an element is chosen by a value of the wrong type"),
    (NOT_CONSTANT, "a constant is needed"),
    (BAD_TYPE_SIZE, "a size that a type cannot have"),
    (NAMED_OPERAND, "an operand with a name"),
    (TOO_LARGE, "functions are nested too deep or called too often"),
    (NOT_AN_ARRAY, "something other than an array is exploded"),
    (NOT_ORDERED, "values without an order are sorted, compared or grouped"),
    (FILTER_ON_FUNCTION, "`where` behind a function that is no aggregate"),
    (UNTYPED_NULL, "a column is nothing but `null`"),
    (BAD_FRACTION, "a percentile's fraction is not a constant from 0 to 1"),
    (UNION_COLUMNS, "the sides of a union have different columns"),
    (BAD_VALUE_TYPE, "a constant has the wrong type"),
    (BAD_VALUE, "a constant has a value that cannot be"),
    (BAD_WINDOW, "windows that cannot be"),
    (TABLE_NOT_FOUND, "there is nothing at a location"),
    (NOT_A_TABLE, "what is at a location is not what the connector reads"),
    (NO_SUCH_VERSION, "a version that the table does not have"),
    (CONTRACT_MISSING, "a schema lists a column that the table does not have"),
    (CONTRACT_TYPE, "a schema gives a column another type than the table"),
    (CONTRACT_NULLABLE, "a schema says that a nullable column is never null"),
    (UNREADABLE_TABLE, "a table has a feature that flowc cannot read"),
    (UNKNOWN_COLUMN_TYPE, "a table has a column of an unknown type"),
    (SCHEMA_NEEDED, "the columns of csv or json files must be declared"),
    (UNREACHABLE, "a table cannot be reached"),
    (MISPLACED_CLAUSE, "a clause where it has no meaning"),
    (NOT_A_TIME, "a time that is no timestamp"),
    (BAD_WATERMARK, "a watermark without event time, or a negative one"),
    (REPEATED_BLOCK_CLAUSE, "a clause of a source, table or sink stands twice"),
    (EVENT_TIME_NEEDED, "rows without event time in a step that asks for it"),
    (NO_HISTORY, "a join as of a time with a table that has no versions"),
    (BAD_CHANGES, "a clause about changes that does not fit the source"),
    (CHANGING_APPENDED, "rows that change are appended"),
    (UNBOUNDED_APPENDED, "`sort` or `limit` over a stream without end"),
    (COLUMN_NOT_IN_TABLE, "the flow has a column that the table lacks"),
    (COLUMN_LACKING, "the table needs a column that the flow lacks"),
    (COLUMN_TYPE, "a column does not fit the table's type"),
    (NULL_INTO_NOT_NULL, "a nullable column is written into one that must not be null"),
    (PARTITIONS_DIFFER, "the table is partitioned in another way"),
    (BAD_PARTITION, "a table cannot be partitioned so"),
    (NAMES_DIFFER_BY_CASE, "two columns differ only by case"),
    (UNWRITABLE_TABLE, "a table has a feature that flowc cannot write"),
    (SHARED_TABLE, "two sinks write one place"),
    (TABLE_EXPRESSION, "a constraint or generated column of the table is not understood"),
    (BAD_COLUMN_NAME, "a column name that Delta does not allow"),
    (TYPE_NOT_WRITTEN, "a type that the sink cannot hold"),
    (UNKNOWN_PROPERTY, "a table property that Delta does not have"),
    (NOTHING_WRITTEN, "a flow without columns is written"),
    (NOT_SQL, "a constraint or partition that SQL has no words for"),
    (WRITES_ITS_SOURCE, "a sink writes what a source reads"),
    (APPEND_ONLY, "an append-only table is overwritten"),
    (CONSTRAINTS_DIFFER, "the table has another constraint of this name"),
    (ENDLESS_OVERWRITE, "rows without end are computed as a whole"),
    (UNBOUNDED_STATE, "a step would remember rows for ever"),
    (NOTHING_LATE, "the late rows of something that none is late for"),
    (LATE_FOR_SEVERAL, "late rows of a flow with several steps that rows can be late for"),
    (DEDUP_CHANGING, "`dedup` of rows that change"),
    (KEY_NOT_UNIQUE, "a key of a sink that does not identify the flow's rows"),
    (NO_ORDER, "an aggregate that asks for an order of rows that change"),
    (HISTORY, "a sink that keeps history has no time, or no place for it"),
    (LATE_WINDOW, "`late` where nothing is ever over"),
    (UNKNOWN_CONNECTOR, "a connector that does not exist"),
    (UNKNOWN_OPTION, "an option that the connector does not have"),
    (MISSING_OPTION, "a connector lacks what it needs"),
    (WRONG_CONNECTOR, "a connector that cannot be read, or not be written"),
    (REPEATED_OPTION, "an option is given twice"),
    (MISSING_PARAM, "a param without a value"),
    (BAD_DEFAULT, "a param's default does not fit"),
    (BAD_PARAM_TYPE, "a type that a param cannot have"),
    (UNSUPPORTED_OUTER_JOIN, "right and full joins are not supported yet"),
    (UNSUPPORTED_AS_OF, "`as of` in a join of streams is not supported yet"),
    (UNSUPPORTED_KAFKA, "`kafka` is not supported yet"),
    (UNSUPPORTED_STORAGE, "this kind of storage is not supported yet"),
    (UNSUPPORTED_PROPERTY, "this table property is not supported yet"),
    (NOT_LOCKED, "a table is not in flow.lock"),
    (NO_LOCK, "flow.lock is missing, or cannot be used"),
    (DUPLICATE_RULE, "two rules of a flow have one name"),
    (REPAIR_TYPE, "a repair gives a column another type"),
    (NOTHING_REJECTED, "the rejected rows of a flow that quarantines nothing"),
    (SHARE, "`share` where it has no meaning"),
    (MEMBERSHIP, "`in` a table's column where it cannot be tested"),
    (REJECTS_DIFFER, "the expectations of a flow reject rows of different kinds"),
    (UNIQUE, "`unique` over rows that do not end, or without an event time"),
    (NO_MALFORMED, "malformed rows of something that has none"),
    (MALFORMED_NOT_KEPT, "malformed rows are read that are not put aside"),
    (UNUSED_PARAM, "a param is never used"),
    (UNUSED_FUNCTION, "a function is never used"),
    (UNUSED_SOURCE, "a source or table is never used"),
    (UNUSED_FLOW, "a flow goes nowhere"),
    (UNREAD_COLUMN, "nobody reads a column"),
    (SHADOWING, "a column hides a param or function"),
    (IGNORED_DECLARATION, "a declaration in a used file is ignored"),
    (CONSTANT_NULL_TEST, "a test for null always comes out the same"),
    (UNREACHABLE_ARM, "an arm of a `match` is never reached"),
    (NEEDLESS_DEFAULT, "a default that is never used"),
    (NULL_COMPARED, "a comparison with null"),
    (APPENDED_AGAIN, "the whole result is appended again by each run"),
    (LAST_BY_EPOCHS, "which row of a key is the last depends on the epochs"),
    (COLUMN_DRIFT, "a column changed since flow.lock was written"),
    (RULE_DRIFT, "a constraint or generated column changed since flow.lock was written"),
    (STORAGE_DRIFT, "how a table is kept changed since flow.lock was written"),
    (QUARANTINE_UNREAD, "rows are quarantined where no sink reads them"),
    (MALFORMED_UNREAD, "malformed rows are put aside, and go nowhere"),
    (REFUTED_CONSTRAINT, "no row can fulfil a constraint of a sink"),
    (REFUTED_RULE, "no row can pass a rule"),
    (OPEN_CONSTRAINT, "nothing guarantees a constraint of a sink"),
    (DEAD_FILTER, "no row can pass a `where`"),
    (TEST_SUBJECT, "a test gives or expects something that it cannot"),
    (TEST_ROW, "a row of a test is not written as one"),
    (TEST_VALUE, "a value of a test does not fit its column"),
    (TEST_COLUMN_LACKING, "a given row lacks a column that must not be null"),
    (TEST_CLAUSE, "a clause of a test where it has no meaning"),
    (TEST_ERROR_CODE, "`then error` with a code that no run stops with"),
    (TEST_PARAMS, "with the params of a test the program is wrong"),
    (TEST_EXPECTS_NOTHING, "a test expects nothing"),
    (TEST_CLOCK, "a test does not say what time it is"),
];
