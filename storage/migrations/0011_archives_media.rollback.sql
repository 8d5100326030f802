DROP TABLE media;

DROP TABLE whatsapp_session_archives;
