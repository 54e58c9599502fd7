vcl 4.1;

# Varnish 7.0 or newer in front of an application whose pages get their headers from warmer.http.
# Change the backend, and who may purge; the rest is what Warmer's headers mean. See docs/howto/http.md.

import std;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

# The hosts on which anything invalidates: web processes, workers, scripts.
acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (req.method == "BAN") {
        if (client.ip !~ purgers) {
            return (synth(403, "Not a purger"));
        }
        if (!req.http.Surrogate-Key) {
            return (synth(400, "Without a Surrogate-Key"));
        }
        # Keys consist of letters, digits and . _ : = / % - only, so they can stand in a regex. A ban that looks at
        # nothing of the request is worked off in the background, too.
        if (std.ban("obj.http.Surrogate-Key ~ (^|\s)(" + regsuball(req.http.Surrogate-Key, "\s+", "|") + ")(\s|$)")) {
            return (synth(200, "Banned"));
        }
        return (synth(400, std.ban_error()));
    }
    # Requests with cookies are not answered from the cache (Varnish's own rule). Where your public pages don't
    # depend on any, drop them here: unset req.http.Cookie;
}

sub vcl_backend_response {
    # What is for this cache alone. The time that the entries were stored already counts.
    if (beresp.http.Surrogate-Control ~ "max-age=") {
        set beresp.ttl = std.duration(regsub(beresp.http.Surrogate-Control, "^.*max-age=([0-9]+).*$", "\1s"), 0s)
            - std.duration(beresp.http.Age + "s", 0s);
        set beresp.grace = 0s;
        if (beresp.http.Surrogate-Control ~ "stale-while-revalidate=") {
            set beresp.grace = std.duration(
                regsub(beresp.http.Surrogate-Control, "^.*stale-while-revalidate=([0-9]+).*$", "\1s"), 0s);
        }
    }
}

sub vcl_deliver {
    # Not for those outside.
    unset resp.http.Surrogate-Control;
    unset resp.http.Surrogate-Key;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "hit";
    } else {
        set resp.http.X-Cache = "miss";
    }
}
