//! Tests of single operations at their edges.
