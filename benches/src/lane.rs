//! A server and its client, measured round by round.

use std::process::Command;

use crate::Result;
use crate::load::Client;
use crate::process::Server;
use crate::rounds::Arm;

/// One server that is asked in turn with others.
pub struct Lane {
    server: Server,
    client: Client,
    requests: Vec<Vec<u8>>,
    /// Processor time of the server per request, in seconds.
    pub processor: Arm,
    /// Median latency, in seconds.
    pub p50: Arm,
    /// Latency that one request in a hundred exceeds, in seconds.
    pub p99: Arm,
}

impl Lane {
    /// Starts the server and connects.
    ///
    /// # Errors
    /// It does not start.
    pub fn new(command: &mut Command, connections: usize, requests: Vec<Vec<u8>>) -> Result<Self> {
        let server = Server::start(command)?;
        let client = Client::connect(server.address, connections)?;
        let (processor, p50, p99) = Default::default();
        Ok(Self {
            server,
            client,
            requests,
            processor,
            p50,
            p99,
        })
    }

    /// Asks `count` times and notes what that took.
    fn round(&mut self, count: usize) -> Result<()> {
        let before = self.server.processor_seconds()?;
        let latencies = self.client.run(&self.requests, count)?.latencies;
        let taken = self.server.processor_seconds()? - before;
        self.processor.push(taken / count as f64);
        self.p50.push(latencies.median());
        self.p99.push(latencies.at(0.99));
        Ok(())
    }

    /// Asks every lane `count` times in each round, each round beginning with the next of them. Before that
    /// each request is sent once.
    ///
    /// # Errors
    /// A server fails.
    pub fn race(lanes: &mut [&mut Self], rounds: usize, count: usize) -> Result<()> {
        for lane in &mut *lanes {
            lane.client
                .run(&lane.requests, lane.requests.len().max(count))?;
        }
        for _ in 0..rounds {
            for lane in &mut *lanes {
                lane.round(count)?;
            }
            lanes.rotate_left(1);
        }
        Ok(())
    }
}
