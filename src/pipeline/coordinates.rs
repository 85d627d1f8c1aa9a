//! BD-09 and GCJ-02 to WGS-84, by an iterated inverse.
