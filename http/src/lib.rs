//! Strongroom http.
