-- SPDX-License-Identifier: MIT
--
-- require "moongate.testing", in specs that `moongate test` runs: handlers on a socket pair, whole moongates, and the
-- clock. The parts are in testing/; docs/testing.md has what they are for.

local testing = {
  call = require "moongate.testing.call",
  start = require("moongate.testing.instance").start,
  load = require("moongate.testing.routes").load,
  match = require "moongate.testing.match",
  clock = require "moongate.testing.clock",
}

return testing
