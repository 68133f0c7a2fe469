//! The router over real sockets: a real store in memory, real threads, dynos played by small servers.

mod it {
    mod faults;
    mod headers;
    mod platform;
    mod protocols;
    mod restart;
    mod routing;
    mod support;
    mod switch;
    mod upgrades;
}
