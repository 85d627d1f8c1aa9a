//! SockJS.
