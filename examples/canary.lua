-- SPDX-License-Identifier: MIT
--
-- A new version for a tenth of the clients: a route that is chosen by `when`. A client meets the same version each
-- time, because its address decides.
--
-- Try it: nc localhost 8081

local SHARE = 10 -- in a hundred

-- 0 to 99, the same for the same address.
local function bucket(address)
  local hash = 0
  for i = 1, #address do
    hash = (hash * 31 + address:byte(i)) % 1000003
  end
  return hash % 100
end

return {
  {
    name = "canary",
    priority = 1, -- asked first; when its `when` says no, the next route is asked
    match = {
      ports = 8081,
      when = function(context)
        return bucket(context.client_ip) < SHARE
      end,
    },
    action = { target = "127.0.0.1:3001" },
  },
  {
    name = "stable",
    match = { ports = 8081 },
    action = { target = "127.0.0.1:3000" },
  },
}
