//! A small STOMP broker with simulated devices, for the first five minutes and for tests.
