-- SPDX-License-Identifier: MIT
--
-- require "socket.headers": how the names of header fields are usually written.

local socket = require "socket"

local special = {
  ["content-id"] = "Content-ID",
  ["content-md5"] = "Content-MD5",
  ["dnt"] = "DNT",
  ["etag"] = "ETag",
  ["message-id"] = "Message-ID",
  ["mime-version"] = "MIME-Version",
  ["te"] = "TE",
  ["www-authenticate"] = "WWW-Authenticate",
  ["x-xss-protection"] = "X-XSS-Protection",
}

local headers = {
  canonic = setmetatable(special, {
    __index = function(_, name)
      return type(name) == "string" and name:gsub("%f[%a]%a", string.upper) or nil
    end,
  }),
}
socket.headers = headers

return headers
