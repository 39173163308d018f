-- SPDX-License-Identifier: MIT
--
-- A chain of two moongates, the inner one. Its config has to trust the outer one (chain-outer.lua), and nobody else;
-- then limits, lists, logs and functions here are about the clients themselves:
--
--   return { proxy_protocol = { trusted = { "127.0.0.1" }, accept = true } }

return {
  name = "chain-inner",
  match = { ports = 8451, address = "127.0.0.1" },
  action = {
    target = "127.0.0.1:8452",
    send_proxy_protocol = 1, -- nginx: listen 8452 proxy_protocol; haproxy: bind :8452 accept-proxy
  },
}
