{{ config(materialized='view') }}
select id, note, id % 10 as bucket from {{ source('shop', 'shop_many') }} where id <= 1000
