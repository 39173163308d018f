-- SPDX-License-Identifier: MIT
--
-- `moongate version`: ours, and those of the libraries that it runs with.

local output = require("moongate.cli.output")

return {
  summary = "Print the version.",

  define = function() end,

  run = function()
    local libraries = { (jit.version:gsub(" %-%- .*", "")) }
    local known = require("moongate.native").defaults()
    for _, name in ipairs({ "libevent", "OpenSSL" }) do
      if known[name] then
        libraries[#libraries + 1] = name .. " " .. known[name]
      end
    end
    output.write(("moongate %s (%s)\n"):format(require("moongate").version, table.concat(libraries, ", ")))
    return 0
  end,
}
