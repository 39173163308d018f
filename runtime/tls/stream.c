/* SPDX-License-Identifier: MIT
 *
 * The stream's functions on an SSL object, over a BIO that reads and writes the socket through its own functions. The
 * BIO takes whatever OpenSSL writes: so a record that was begun is never to be repeated by the caller, and OpenSSL
 * never waits for room while it reads. */
#include "tls/stream.h"
#include "tls/stream_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum {
  RECORD_SIZE = 16 * 1024,   /* what one record carries (RFC 8446 section 5.1) */
  MOST_ANSWERED = 64 * 1024, /* held: who asks without reading the answers is not read any further */
};

struct tls_layer {
  struct stream *stream;
  struct tls_context *context;
  SSL *ssl;
  struct buffer *raw;  /* read before TLS began, and not by OpenSSL yet; NULL mostly */
  struct buffer *held; /* encrypted, and not taken by the socket; NULL mostly */
  const char *detail;
  int failure;       /* the first one; every later call gives it too */
  int write_failure; /* the socket's: what the peer had sent before may still be read */
  int socket_status; /* what reading the socket failed with */
  bool established, socket_ended, shutting;
};

static struct tls_layer *layer_of(const struct stream *stream) { return stream->layer; }

bool tls_stream_is(const struct stream *stream) { return stream->ops == &tls_stream_ops; }

/* --- the socket, as OpenSSL sees it: the names of the callbacks are BIO's --- */

static int on_bio_read(BIO *bio, char *bytes, int size) {
  struct tls_layer *layer = BIO_get_data(bio);
  struct stream *stream = layer->stream;
  BIO_clear_retry_flags(bio);
  size_t raw = buffer_size(layer->raw);
  if (raw > 0) {
    size_t count = raw < (size_t)size ? raw : (size_t)size;
    memcpy(bytes, buffer_bytes(layer->raw), count);
    buffer_consume(layer->raw, count);
    if (count == raw) {
      buffer_free(layer->raw);
      layer->raw = NULL;
    }
    return (int)count;
  }
  if (layer->socket_ended)
    return 0;
  ssize_t got = STREAM_WANT_READ;
  if (stream->readiness & STREAM_READABLE)
    got = socket_stream_ops.read(stream, bytes, (size_t)size);
  if (got > 0)
    return (int)got;
  layer->socket_ended = got == 0;
  if (got == STREAM_WANT_READ)
    BIO_set_retry_read(bio);
  else if (got < 0)
    layer->socket_status = (int)got;
  return got == 0 ? 0 : -1;
}

static void fail_writing(struct tls_layer *layer, int failure) {
  if (layer->write_failure == 0)
    layer->write_failure = failure;
  buffer_free(layer->held);
  layer->held = NULL;
}

static int on_bio_write(BIO *bio, const char *bytes, int size) {
  struct tls_layer *layer = BIO_get_data(bio);
  struct stream *stream = layer->stream;
  BIO_clear_retry_flags(bio);
  ssize_t put = 0;
  if (layer->write_failure != 0)
    return size;
  if (layer->held == NULL && (stream->readiness & STREAM_WRITABLE)) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = (size_t)size};
    put = socket_stream_ops.writev(stream, &part, 1);
  }
  if (put == STREAM_WANT_WRITE)
    put = 0;
  if (put >= 0 && put < size && buffer_append(&layer->held, bytes + put, (size_t)(size - put)) != 0)
    put = -ENOMEM;
  if (put < 0)
    fail_writing(layer, (int)put);
  return size; /* lost, and told to who writes; OpenSSL could not read on either, did it know */
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_socket_method_new(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "moongate socket");
  if (method == NULL)
    return NULL;
  BIO_meth_set_read(method, on_bio_read);
  BIO_meth_set_write(method, on_bio_write);
  BIO_meth_set_ctrl(method, on_bio_control);
  return method;
}

/* --- */

/* Hands what is held to the socket; true when nothing is left, or never will go. */
static bool flush(struct tls_layer *layer) {
  struct stream *stream = layer->stream;
  while (layer->held != NULL) {
    if (!(stream->readiness & STREAM_WRITABLE))
      return false;
    struct iovec part = {.iov_base = (void *)(uintptr_t)buffer_bytes(layer->held), .iov_len = buffer_size(layer->held)};
    ssize_t put = socket_stream_ops.writev(stream, &part, 1);
    if (put == STREAM_WANT_WRITE)
      return false;
    if (put < 0) {
      fail_writing(layer, (int)put);
      return true;
    }
    buffer_consume(layer->held, (size_t)put);
    if (buffer_size(layer->held) == 0) {
      buffer_free(layer->held);
      layer->held = NULL;
    }
  }
  if (layer->shutting && !stream->is_shut)
    socket_stream_ops.shutdown(stream);
  return true;
}

/* What is held goes first, whoever the event is for. */
static void on_transport_event(struct poll_source *source, uint32_t events) {
  struct stream *stream = (struct stream *)source;
  stream_note_events(stream, events);
  struct tls_layer *layer = layer_of(stream);
  if (layer->held != NULL && flush(layer) && layer->write_failure != 0)
    stream->readiness |= STREAM_READABLE | STREAM_WRITABLE;
  if (stream->on_ready)
    stream->on_ready(stream, stream->context);
}

/* More may be read without an event: in OpenSSL, or in what was there before it. */
static void note_pending(struct tls_layer *layer) {
  if (layer->raw != NULL || SSL_has_pending(layer->ssl))
    layer->stream->readiness |= STREAM_READABLE;
}

static int protocol_failure(struct tls_layer *layer) {
  unsigned long code = ERR_peek_error();
  int why = ERR_GET_REASON(code);
  long verdict = SSL_get_verify_result(layer->ssl);
  if (layer->socket_ended && why == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return layer->established ? -ENODATA : -ECONNRESET;
  if (why == SSL_R_CERTIFICATE_VERIFY_FAILED || why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    layer->detail =
        why == SSL_R_CERTIFICATE_VERIFY_FAILED ? X509_verify_cert_error_string(verdict) : ERR_reason_error_string(code);
    return -EKEYREJECTED;
  }
  layer->detail = ERR_reason_error_string(code);
  return -EPROTO;
}

/* What a call of OpenSSL's that returned `result` comes to: 0 at the end of what the peer sends, WANT, or the failure.
 */
static int outcome(struct tls_layer *layer, int result) {
  int failure;
  switch (SSL_get_error(layer->ssl, result)) {
  case SSL_ERROR_WANT_READ:
    return STREAM_WANT_READ;
  case SSL_ERROR_WANT_WRITE:
    return STREAM_WANT_WRITE;
  case SSL_ERROR_ZERO_RETURN:
    return 0;
  case SSL_ERROR_SYSCALL:
    failure = layer->socket_status != 0 ? layer->socket_status : layer->established ? -ENODATA : -ECONNRESET;
    break;
  default:
    failure = layer->socket_status != 0 ? layer->socket_status : protocol_failure(layer);
  }
  ERR_clear_error();
  /* The alert that tells the peer why may still be held, and goes out with the end. */
  if (layer->failure == 0)
    layer->failure = failure;
  return layer->failure;
}

int tls_stream_handshake(struct stream *stream) {
  struct tls_layer *layer = layer_of(stream);
  if (layer->failure != 0)
    return layer->failure;
  if (layer->established)
    return 0;
  if (!flush(layer))
    return STREAM_WANT_WRITE;
  ERR_clear_error();
  int result = SSL_do_handshake(layer->ssl);
  layer->established = result == 1;
  if (result == 1) {
    note_pending(layer);
    return 0;
  }
  int status = outcome(layer, result);
  if (status == 0) /* close_notify in the middle of it */
    status = layer->failure = -ECONNRESET;
  if (status == STREAM_WANT_READ && layer->write_failure != 0)
    status = layer->failure = layer->write_failure;
  return status;
}

static ssize_t tls_read(struct stream *stream, void *bytes, size_t size) {
  struct tls_layer *layer = layer_of(stream);
  int status = tls_stream_handshake(stream);
  if (status != 0)
    return status;
  if (!flush(layer) && buffer_size(layer->held) > MOST_ANSWERED) {
    stream->readiness |= STREAM_READABLE;
    return STREAM_WANT_WRITE;
  }
  size_t total = 0;
  do {
    ERR_clear_error();
    size_t left = size - total;
    int got = SSL_read(layer->ssl, (char *)bytes + total, left < INT_MAX ? (int)left : INT_MAX);
    if (got <= 0) {
      status = outcome(layer, got);
      if (total == 0)
        return status;
      if (status != STREAM_WANT_READ)
        stream->readiness |= STREAM_READABLE; /* the end, or the failure, is told by the next read */
      return (ssize_t)total;
    }
    total += (size_t)got;
  } while (total < size && SSL_has_pending(layer->ssl));
  note_pending(layer);
  return (ssize_t)total;
}

/* Small parts go out as one record: a head and its body need not be two. Returns the index of the first part that is
 * not among them. */
static int tls_gather(const struct iovec *parts, int from, int count, struct iovec *gathered,
                      uint8_t bytes[RECORD_SIZE]) {
  size_t size = 0;
  int i = from;
  for (; i < count && parts[i].iov_len <= RECORD_SIZE - size; i++) {
    memcpy(bytes + size, parts[i].iov_base, parts[i].iov_len);
    size += parts[i].iov_len;
  }
  *gathered = (struct iovec){.iov_base = bytes, .iov_len = size};
  return i;
}

/* Encrypts until the socket is full. */
static ssize_t write_bytes(struct tls_layer *layer, const uint8_t *bytes, size_t size) {
  size_t total = 0;
  while (total < size && layer->held == NULL && layer->write_failure == 0) {
    size_t left = size - total;
    ERR_clear_error();
    int put = SSL_write(layer->ssl, bytes + total, left < RECORD_SIZE ? (int)left : RECORD_SIZE);
    if (put <= 0) {
      int status = outcome(layer, put);
      if (total > 0)
        break;
      return status == 0 ? -EPIPE : status;
    }
    total += (size_t)put;
  }
  return layer->write_failure != 0 ? layer->write_failure : (ssize_t)total;
}

static ssize_t tls_writev(struct stream *stream, const struct iovec *parts, int count) {
  struct tls_layer *layer = layer_of(stream);
  int status = tls_stream_handshake(stream);
  if (status != 0)
    return status;
  if (layer->shutting)
    return -EPIPE;
  if (!flush(layer))
    return STREAM_WANT_WRITE;
  if (layer->write_failure != 0)
    return layer->write_failure;
  ssize_t total = 0;
  for (int i = 0; i < count && layer->held == NULL;) {
    uint8_t together[RECORD_SIZE];
    struct iovec next = parts[i];
    int last = i + 1;
    if (last < count && next.iov_len < RECORD_SIZE)
      last = tls_gather(parts, i, count, &next, together);
    ssize_t put = write_bytes(layer, next.iov_base, next.iov_len);
    if (put < 0)
      return total > 0 ? total : put;
    total += put;
    if ((size_t)put < next.iov_len)
      break;
    i = last;
  }
  return total;
}

/* close_notify, and the socket's end behind it, as soon as there is room. Before the end of the handshake there is none
 * to be told. */
static int tls_shutdown(struct stream *stream) {
  struct tls_layer *layer = layer_of(stream);
  if (layer->shutting)
    return 0;
  layer->shutting = true;
  if (layer->established && layer->failure == 0) {
    ERR_clear_error();
    SSL_shutdown(layer->ssl);
    ERR_clear_error();
  }
  flush(layer);
  return 0;
}

static void layer_free(struct tls_layer *layer) {
  SSL_free(layer->ssl);
  buffer_free(layer->raw);
  buffer_free(layer->held);
  tls_context_unref(layer->context);
  free(layer);
}

static void tls_close(struct stream *stream) {
  layer_free(layer_of(stream));
  stream->layer = NULL;
}

static size_t tls_held(const struct stream *stream) { return buffer_size(layer_of(stream)->held); }

const struct stream_ops tls_stream_ops = {
    .name = "tls",
    .read = tls_read,
    .writev = tls_writev,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .held = tls_held,
};

/* An address is not asked for by name (RFC 6066 section 3), but has to be the certificate's all the same. */
static int set_name(SSL *ssl, const char *name) {
  struct in6_addr address;
  bool is_address = inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
  if (is_address)
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -EINVAL;
  /* The subject's CN is no name (RFC 9525, 2 and 6.3): where a CA bound only the names, it says whatever they like. */
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (SSL_set1_host(ssl, name) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)
    return -EINVAL;
  return 0;
}

int tls_stream_start(struct stream *stream, struct tls_context *context, const char *server_name) {
  struct tls_layer *layer = calloc(1, sizeof *layer);
  if (layer == NULL)
    return -ENOMEM;
  int status = -ENOMEM;
  layer->stream = stream;
  layer->context = tls_context_ref(context);
  layer->ssl = SSL_new(context->ssl);
  BIO *bio = layer->ssl != NULL ? BIO_new(context->method) : NULL;
  if (bio == NULL)
    goto fail;
  BIO_set_data(bio, layer);
  BIO_set_init(bio, 1);
  SSL_set_bio(layer->ssl, bio, bio);
  if (SSL_is_server(layer->ssl))
    SSL_set_accept_state(layer->ssl);
  else
    SSL_set_connect_state(layer->ssl);
  status = server_name != NULL ? set_name(layer->ssl, server_name) : 0;
  if (status != 0)
    goto fail;
  layer->raw = stream->unread;
  stream->unread = NULL;
  stream->layer = layer;
  stream->ops = &tls_stream_ops;
  stream->source.on_event = on_transport_event;
  if (layer->raw != NULL)
    stream->readiness |= STREAM_READABLE;
  return 0;
fail:
  ERR_clear_error();
  layer_free(layer);
  return status;
}

const char *tls_stream_detail(const struct stream *stream) {
  return tls_stream_is(stream) ? layer_of(stream)->detail : NULL;
}

SSL *tls_stream_ssl(const struct stream *stream) { return layer_of(stream)->ssl; }
