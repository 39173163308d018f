-- SPDX-License-Identifier: MIT
--
-- The page at http://localhost:8080/ — edit it here, save it, and the next request has the change.

local page = [[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>moongate</title>
<style>
  :root { color-scheme: light dark }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 17px/1.6 system-ui, sans-serif;
         background: #14213d; color: #e8ecf4 }
  main { max-width: 34rem; padding: 2rem }
  .gate { width: 7rem; height: 7rem; border-radius: 50%; margin: 0 auto 1.5rem;
          border: .5rem solid #3b4d7d;
          background: radial-gradient(circle at 62% 42%, #fff8e1 0 34%, #ffe9a8 35%, #26365f 37% 100%) }
  h1 { text-align: center; font-weight: 600; margin: 0 }
  h1 + p { text-align: center; margin-top: 0; opacity: .8 }
  code { background: #26365f; border-radius: .3rem; padding: .1rem .4rem }
  a { color: #ffe9a8 }
  li { margin: .4rem 0 }
</style>
<main>
  <div class="gate"></div>
  <h1>moongate</h1>
  <p>a proxy runtime that you script in Lua</p>
  <p>It runs. This page is a route: the file <code>routes/page.lua</code>. Edit it to change what you see here.</p>
  <ul>
    <li><code>nc localhost 9000</code> speaks with <code>routes/echo.lua</code>: it sends back what you type.</li>
    <li><code>nc localhost 9001</code> speaks with <code>routes/line.lua</code>: try <code>help</code>.</li>
    <li><a href="http://localhost:9090/metrics">localhost:9090/metrics</a> has the counters.</li>
    <li><code>moongate status</code> says what is running, <code>moongate check</code> what is wrong with a file.</li>
  </ul>
  <p>To forward a port to your own server, put this into a new file in <code>routes/</code>:</p>
  <p><code>return { match = { ports = 8081 }, action = { target = "127.0.0.1:3000" } }</code></p>
</main>
</html>
]]

return {
  name = "page",
  description = "The first page that you see",
  match = { ports = 8080 },
  action = {
    handler = moongate.handlers.http_response({
      status = 200,
      headers = { ["Content-Type"] = "text/html; charset=utf-8" },
      body = page,
    }),
  },
}
