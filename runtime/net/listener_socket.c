/* SPDX-License-Identifier: MIT
 *
 * Binding and listening, and the errors of it in words. */
#include "net/listener.h"
#include "net/listener_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PRIVILEGED_PORTS = 1024, SOCKET_FILE_MODE = 0600 };

static int enable(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static bool is_ipv6_wildcard(const struct endpoint *endpoint) {
  struct sockaddr_in6 in6;
  if (endpoint->storage.ss_family != AF_INET6)
    return false;
  memcpy(&in6, &endpoint->storage, sizeof in6);
  return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
}

static const char *unix_path(const struct endpoint *endpoint) {
  return (const char *)&endpoint->storage + offsetof(struct sockaddr_un, sun_path);
}

static const char *format_host(const struct endpoint *endpoint, char text[ADDRESS_TEXT_SIZE]) {
  struct ip_address ip;
  ip_address_from_sockaddr(&ip, (const struct sockaddr *)&endpoint->storage);
  return ip_address_format(&ip, text);
}

/* Says what binding `endpoint` failed with, and what to do. Returns -code. */
static int explain_listen_error(struct error *error, int code, const struct endpoint *endpoint) {
  char place[ENDPOINT_TEXT_SIZE], host[ADDRESS_TEXT_SIZE];
  unsigned port = endpoint_port(endpoint);
  bool is_unix = endpoint->storage.ss_family == AF_UNIX;
  if (code == EADDRINUSE && is_unix)
    error_set(error, code, "another process answers on this socket; stop it or choose another path");
  else if (code == EADDRINUSE)
    error_set(error, code,
              "port %u is in use by another process; stop it or choose another port (ss -ltnp 'sport = :%u' shows who)",
              port, port);
  else if (code == EACCES && !is_unix && port < PRIVILEGED_PORTS)
    error_set(error, code, "port %u needs root or CAP_NET_BIND_SERVICE; grant it or choose a port from %d on", port,
              PRIVILEGED_PORTS);
  else if ((code == EACCES || code == EPERM) && is_unix)
    error_set(error, code, "no permission to make a socket there; check the owner and the mode of its directory");
  else if (code == EADDRNOTAVAIL)
    error_set(error, code, "no interface of this machine has the address %s; correct it or add it to an interface",
              format_host(endpoint, host));
  else if (code == EAFNOSUPPORT)
    error_set(error, code, "this machine's kernel does not know this kind of address (is IPv6 switched off?)");
  else if ((code == ENOENT || code == ENOTDIR) && is_unix)
    error_set(error, code, "the directory of this socket does not exist; make it first");
  else if (code == EMFILE || code == ENFILE)
    error_set(error, code, "no file descriptor is left for the socket; raise the limit (ulimit -n)");
  else
    error_set(error, code, "cannot listen: %s", strerror(code));
  if (error)
    error_set_place(error, "%s", endpoint_format(endpoint, place));
  return -code;
}

/* An open, bound TCP socket, or a negative errno. */
static int bind_tcp(const struct endpoint *endpoint, bool reuse_port) {
  int fd = socket(endpoint->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  /* SO_REUSEADDR on listeners too: accepted sockets inherit it, and only so do they not stand in the way of a later
   * probe. */
  int status = enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (status == 0 && reuse_port)
    status = enable(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  /* Inherited too: what a client sends as urgent is a byte of its stream like the others (RFC 6093 section 5). */
  if (status == 0)
    status = enable(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  if (status == 0 && endpoint->storage.ss_family == AF_INET6)
    status = enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_ipv6_wildcard(endpoint) ? 0 : 1);
  if (status == 0 && bind(fd, (const struct sockaddr *)&endpoint->storage, endpoint->length) != 0)
    status = -errno;
  if (status == 0)
    return fd;
  close(fd);
  return status;
}

/* As bind_tcp(); on a machine without IPv6 its wildcard means IPv4's. */
static int bind_tcp_or_ipv4(const struct endpoint *endpoint, bool reuse_port) {
  int fd = bind_tcp(endpoint, reuse_port);
  if (fd != -EAFNOSUPPORT || !is_ipv6_wildcard(endpoint))
    return fd;
  struct endpoint ipv4;
  endpoint_from_literal(&ipv4, "0.0.0.0", endpoint_port(endpoint));
  return bind_tcp(&ipv4, reuse_port);
}

/* Who is at `endpoint`'s path: -EADDRINUSE somebody, -ECONNREFUSED a dead socket, -ENOENT nothing, or another negative
 * errno. */
static int ask_unix(const struct endpoint *endpoint) {
  struct stat file;
  if (lstat(unix_path(endpoint), &file) != 0)
    return -errno;
  if (!S_ISSOCK(file.st_mode))
    return -EEXIST;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int status = -EADDRINUSE;
  if (connect(fd, (const struct sockaddr *)&endpoint->storage, endpoint->length) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT || errno == EACCES || errno == EPERM)
      status = -errno;
  }
  close(fd);
  return status;
}

static int explain_unix(struct error *error, int status, const struct endpoint *endpoint) {
  if (status != -EEXIST)
    return explain_listen_error(error, -status, endpoint);
  char place[ENDPOINT_TEXT_SIZE];
  error_set(error, EEXIST, "there is a file that is not a socket; move it away or choose another path");
  if (error)
    error_set_place(error, "%s", endpoint_format(endpoint, place));
  return -EEXIST;
}

static int bind_unix(struct listening_socket *listening) {
  const struct endpoint *endpoint = &listening->endpoint;
  listening->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listening->fd < 0)
    return -errno;
  /* Before bind(2) this sets the mode that the file is made with, so that there is no moment at which others may
   * connect; umask(2) would be the process's. */
  if (fchmod(listening->fd, SOCKET_FILE_MODE) != 0)
    return -errno;
  if (bind(listening->fd, (const struct sockaddr *)&endpoint->storage, endpoint->length) != 0) {
    if (errno != EADDRINUSE)
      return -errno;
    int status = ask_unix(endpoint);
    if (status != -ECONNREFUSED && status != -ENOENT)
      return status;
    if (status == -ECONNREFUSED && unlink(unix_path(endpoint)) != 0 && errno != ENOENT)
      return -errno;
    if (bind(listening->fd, (const struct sockaddr *)&endpoint->storage, endpoint->length) != 0)
      return -errno;
  }
  struct stat file;
  if (lstat(unix_path(endpoint), &file) != 0)
    return -errno;
  listening->device = file.st_dev;
  listening->inode = file.st_ino;
  return 0;
}

static int bind_and_listen_tcp(struct listening_socket *listening, const struct tcp_options *tcp) {
  listening->fd = bind_tcp_or_ipv4(&listening->endpoint, true);
  if (listening->fd < 0)
    return listening->fd;
  int status = tcp ? tcp_options_apply(listening->fd, tcp) : 0;
  if (status != 0)
    return status;
  if (listen(listening->fd, LISTENER_BACKLOG) != 0)
    return -errno;
  listening->endpoint.length = sizeof listening->endpoint.storage;
  struct sockaddr *bound = (struct sockaddr *)&listening->endpoint.storage;
  return getsockname(listening->fd, bound, &listening->endpoint.length) == 0 ? 0 : -errno;
}

int listening_socket_open(struct listening_socket *listening, const struct endpoint *endpoint,
                          const struct tcp_options *tcp, struct error *error) {
  *listening = (struct listening_socket){.fd = -1, .endpoint = *endpoint};
  bool is_unix = endpoint->storage.ss_family == AF_UNIX;
  int status;
  if (is_unix) {
    status = bind_unix(listening);
    if (status == 0 && listen(listening->fd, LISTENER_BACKLOG) != 0)
      status = -errno;
  } else {
    status = bind_and_listen_tcp(listening, tcp);
  }
  if (status == 0)
    return 0;
  listening_socket_close(listening);
  return is_unix ? explain_unix(error, status, endpoint) : explain_listen_error(error, -status, endpoint);
}

void listening_socket_close(struct listening_socket *listening) {
  if (listening->inode != 0) {
    const char *path = unix_path(&listening->endpoint);
    struct stat file;
    if (lstat(path, &file) == 0 && file.st_dev == listening->device && file.st_ino == listening->inode)
      unlink(path);
    listening->inode = 0;
  }
  if (listening->fd >= 0)
    close(listening->fd);
  listening->fd = -1;
}

static int probe(const struct endpoint *endpoint, bool reuse_port, struct error *error) {
  if (endpoint->storage.ss_family == AF_UNIX) {
    int status = ask_unix(endpoint);
    return status == -ENOENT || status == -ECONNREFUSED ? 0 : explain_unix(error, status, endpoint);
  }
  int fd = bind_tcp_or_ipv4(endpoint, reuse_port);
  if (fd < 0)
    return explain_listen_error(error, -fd, endpoint);
  close(fd);
  return 0;
}

int listener_probe(const struct endpoint *endpoint, struct error *error) { return probe(endpoint, false, error); }

int listener_probe_beside_own(const struct endpoint *endpoint, struct error *error) {
  return probe(endpoint, true, error);
}
