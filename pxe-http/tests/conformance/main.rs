//! One suite of black-box cases, run on everything that drives `pxe-http`: bytes go in, and what
//! comes out has to be right to the byte.
//!
//! | module | driver |
//! |---|---|
//! | `own_server` | `Server`, on plain connections |
//! | `over_tls` | `Server::listen_tls`, to a client that knows the CA |
//! | `hyper_service` | `PeerService`, run by hyper's own `http1::Builder` in a server of someone else's |
//!
//! A case says on which of them it runs: [`on_every_driver`] for what HTTP and the clients demand,
//! [`on_own_drivers`] for what only our servers promise (limits, events of connections, the order
//! of a shutdown), which someone else's server has or has not.

mod connections;
mod content;
mod driver;
mod fields;
mod firmware;
mod limits;
mod listings;
mod shutdown;
mod suite;
#[path = "../suite/mod.rs"]
mod suite_cases;
mod support;
#[cfg(feature = "tls")]
mod tls;

/// Makes a test of each case for each driver.
macro_rules! on_every_driver {
    ($($case:ident),+ $(,)?) => {
        mod own_server {
            $(#[tokio::test] async fn $case() {
                super::$case(crate::driver::Driver::OwnServer).await;
            })+
        }
        #[cfg(feature = "tls")]
        mod over_tls {
            $(#[tokio::test] async fn $case() {
                super::$case(crate::driver::Driver::Tls).await;
            })+
        }
        mod hyper_service {
            $(#[tokio::test] async fn $case() {
                super::$case(crate::driver::Driver::HyperService).await;
            })+
        }
    };
}
pub(crate) use on_every_driver;

/// Makes a test of each case for each driver that is a server of ours.
macro_rules! on_own_drivers {
    ($($case:ident),+ $(,)?) => {
        mod limited_own_server {
            $(#[tokio::test] async fn $case() {
                super::$case(crate::driver::Driver::OwnServer).await;
            })+
        }
        #[cfg(feature = "tls")]
        mod limited_over_tls {
            $(#[tokio::test] async fn $case() {
                super::$case(crate::driver::Driver::Tls).await;
            })+
        }
    };
}
pub(crate) use on_own_drivers;
