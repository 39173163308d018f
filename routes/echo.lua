-- SPDX-License-Identifier: MIT
--
-- Sends back what it receives. Try it: printf 'hello\n' | nc -N localhost 9000
--
-- A route says which connections it takes (`match`) and what is done with them (`action`). `moongate.handlers` has
-- ready handlers; echo() is one of them. What it does could be written as
--
--   handler = function(socket)
--     while true do
--       local bytes = socket:receiveany(4096) -- waits; nothing else waits with it
--       if not bytes then
--         return -- the client has ended; returning closes the socket
--       end
--       socket:send(bytes)
--     end
--   end
--
-- A route that forwards instead has a target:  action = { target = "127.0.0.1:3000" }

return {
  name = "echo",
  match = { ports = 9000 },
  action = { handler = moongate.handlers.echo() },
}
