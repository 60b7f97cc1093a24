-- How the webhook arrived: [client, scheme, header, position of the secret, its location, status of the response, its
-- milliseconds], such as ["192.0.2.7", "hmac", "x-signature", 0, "env:SECRET", 202, 3]. Null if an older program stored it.
ALTER TABLE webhooks ADD COLUMN arrival TEXT;
