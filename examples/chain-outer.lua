-- SPDX-License-Identifier: MIT
--
-- A chain of two moongates, the outer one: it faces the clients, and says in a PROXY header who each of them is. The
-- inner one is chain-inner.lua.
--
-- Where something stands before this one too, such as a load balancer that sends a PROXY header, its config says whom
-- to believe, and the client is who that header says:
--
--   return { proxy_protocol = { trusted = { "192.0.2.10" } } }

return {
  name = "chain-outer",
  match = { ports = 8450 },
  action = {
    target = "127.0.0.1:8451",
    send_proxy_protocol = 2, -- version 2 has room for more than addresses: the domain of TLS clients goes along
  },
  security = { max_connections_per_ip = 1000 },
}
