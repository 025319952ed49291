-- The server's version.
--
-- In:  nothing.
-- Out: one text, as `15.18 (Debian 15.18-0+deb12u1)`.
SELECT current_setting('server_version')
