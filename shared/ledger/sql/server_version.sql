-- The version of the server.
--
-- Parameters: none.
-- Result:     one text such as `15.18 (Debian 15.18-0+deb12u1)`.
SELECT current_setting('server_version')
