//! Users and their hashed passwords.
