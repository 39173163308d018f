-- SPDX-License-Identifier: MIT
--
-- Sixteen addresses out of 198.18.0.0/15, and a /64, that are this process's own while it lives: routes belong to the
-- whole machine, on which other runs of the same specs may be under way.

local pid = require("posix.unistd").getpid()

local FIRST = 198 * 2 ^ 24 + 18 * 2 ^ 16
local BLOCK, BLOCKS = 16, 2 ^ 17 / 16

local subnet = { PREFIX = 28, HALF = 29, PREFIX6 = 64 }

-- The n-th, from 1: up to 14 of the whole; of its halves 1 to 6, and 9 to 14. The 0th is the network's own.
function subnet.address(n)
  local number = FIRST + pid % BLOCKS * BLOCK + n
  return ("%d.%d.%d.%d"):format(number / 2 ^ 24, number / 2 ^ 16 % 256, number / 2 ^ 8 % 256, number % 256)
end

function subnet.address6(n)
  return ("fd6d:6f6f:%x:%x::%s"):format(math.floor(pid / 2 ^ 16) + 1, pid % (2 ^ 16 - 1) + 1, n > 0 and n or "")
end

return subnet
