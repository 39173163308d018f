-- SPDX-License-Identifier: MIT
--
-- `moongate run`: the main job, in the foreground. What it has to say is said by the native side.

local loading = require("moongate.cli.loading")

return {
  summary = "Run in the foreground.",

  define = function(command)
    loading.define(command)
    command:flag("--strict", "Don't start with a faulty route file.")
  end,

  run = function(options)
    return require("moongate.native").run({
      config = options.config,
      routes = options.routes,
      workers = options.workers,
      strict = options.strict or false,
      control = options.control,
    })
  end,
}
