-- SPDX-License-Identifier: MIT
--
-- Several TLS servers behind one port. moongate reads the name that the client asks for (SNI) and nothing else: TLS
-- goes through byte for byte, and the certificates stay with the servers.
--
-- Try it: openssl s_client -connect localhost:8443 -servername shop.example

local route = moongate.route

return {
  -- One name, one server.
  route.passthrough("shop.example", "127.0.0.1:4431", { name = "shop", ports = 8443 }),

  -- A name and all below it, on two servers that take turns; when one can't be reached the other is tried.
  route.balance({ "mail.example", "*.mail.example" }, { "127.0.0.1:4432", "127.0.0.1:4433" }, {
    name = "mail",
    ports = 8443,
  }),

  -- More specific names go first, whatever the order here: this one takes what the routes above leave of *.example.
  route.passthrough("*.example", "127.0.0.1:4434", { name = "rest", ports = 8443 }),

  -- Another name is answered with the alert unrecognized_name. To have a server for those as well:
  --
  --   { name = "default", match = { ports = 8443 }, action = { target = "…", tls = { mode = "passthrough" } } },
}
